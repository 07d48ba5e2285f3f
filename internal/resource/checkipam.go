package resource

import (
	"fmt"
	"net/netip"
	"time"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (p *problems) reservation(meta Meta, spec *vrouterv1.IPReservationSpec) *IPReservation {
	return &IPReservation{Meta: meta, CIDRs: p.ranges("spec.reservedCIDRs", spec.GetReservedCidrs())}
}

// ranges reads CIDRs; a single address will do.
func (p *problems) ranges(path string, texts []string) []netip.Prefix {
	var list []netip.Prefix
	for i, text := range texts {
		cidr, err := parsePrefix(text)
		if err == nil && cidr != cidr.Masked() {
			err = fmt.Errorf("%s has bits set beyond its prefix length; the range is %s", cidr, cidr.Masked())
		}
		p.err(index(path, i), err)
		if err == nil {
			list = append(list, cidr)
		}
	}
	return list
}

// addressManagement checks what each field of the IPAMConfiguration says.
func (p *problems) addressManagement(meta Meta, spec *vrouterv1.IPAMConfigurationSpec) *IPAMConfiguration {
	if meta.Name != DefaultName {
		p.addf("metadata.name", "%q, but there is one IPAMConfiguration, named %q", meta.Name, DefaultName)
	}
	return &IPAMConfiguration{
		Meta:             meta,
		StrictAffinity:   spec.GetStrictAffinity(),
		NoAutoAllocate:   spec != nil && spec.AutoAllocateBlocks != nil && !*spec.AutoAllocateBlocks,
		MaxBlocksPerHost: int(spec.GetMaxBlocksPerHost()),
		Cooldown:         time.Duration(spec.GetIpCooldownSeconds()) * time.Second,
		Foreign:          p.ranges("spec.foreignCIDRs", spec.GetForeignCidrs()),
	}
}

// canonicalizeRanges writes ranges as netip does.
func canonicalizeRanges(texts []string) {
	for i := range texts {
		canonicalizePrefix(&texts[i])
	}
}
