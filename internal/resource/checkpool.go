package resource

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Values of IPPool's fields.
const (
	assignAutomatic = "Automatic"
	assignManual    = "Manual"
)

// Bounds of blocks, as prefix lengths.
const (
	minBlockSize4, maxBlockSize4 = 20, 32
	minBlockSize6, maxBlockSize6 = 116, 128
)

func (p *problems) pool(meta Meta, spec *vrouterv1.IPPoolSpec) *IPPool {
	if spec == nil {
		spec = &vrouterv1.IPPoolSpec{}
	}
	pool := &IPPool{
		Meta:             meta,
		CIDR:             p.poolCIDR(spec.GetCidr()),
		Disabled:         spec.GetDisabled(),
		DisableBGPExport: spec.GetDisableBgpExport(),
		NATOutgoing:      spec.GetNatOutgoing(),
	}
	if pool.CIDR.IsValid() {
		pool.BlockSize = p.blockSize(pool, spec)
	}
	pool.IPIPMode = p.encap("spec.ipipMode", spec.GetIpipMode())
	pool.VXLANMode = p.encap("spec.vxlanMode", spec.GetVxlanMode())
	if pool.IPIPMode != EncapNever && pool.VXLANMode != EncapNever {
		p.addf("spec.vxlanMode", "a pool is encapsulated in IP-in-IP or in VXLAN, not in both")
	}
	if pool.CIDR.IsValid() && !pool.CIDR.Addr().Is4() && pool.IPIPMode != EncapNever {
		p.addf("spec.ipipMode", "IP-in-IP does not carry IPv6")
	}
	pool.Uses = p.allowedUses(spec.GetAllowedUses())
	pool.Manual = p.assignmentMode(spec.GetAssignmentMode())
	pool.Advertise = p.advertise(spec.GetAdvertise())
	pool.NodeSelector = p.poolSelector("spec.nodeSelector", spec.NodeSelector)
	pool.NamespaceSelector = p.poolSelector("spec.namespaceSelector", spec.NamespaceSelector)
	return pool
}

func (p *problems) poolCIDR(text string) netip.Prefix {
	const path = "spec.cidr"
	if text == "" {
		p.addf(path, "a range such as 192.168.0.0/16 is needed")
		return netip.Prefix{}
	}
	cidr, err := parsePrefix(text)
	if err == nil && !strings.Contains(text, "/") {
		err = fmt.Errorf("%q has no prefix length", text)
	}
	if err != nil {
		p.err(path, err)
		return netip.Prefix{}
	}
	if cidr != cidr.Masked() {
		p.addf(path, "%s has bits set beyond its prefix length; the range is %s", cidr, cidr.Masked())
	}
	for _, r := range neverPools() {
		if cidr.Overlaps(r.prefix) {
			p.addf(path, "%s overlaps %s (%s)", cidr, r.prefix, r.what)
		}
	}
	return cidr
}

type reserved struct {
	prefix netip.Prefix
	what   string
}

// neverPools returns what no routed workload can have an address from.
func neverPools() []reserved {
	return []reserved{
		{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
		{netip.MustParsePrefix("::/127"), "unspecified and loopback"},
		{netip.MustParsePrefix("fe80::/10"), "link-local"},
		{netip.MustParsePrefix("ff00::/8"), "multicast"},
	}
}

func (p *problems) blockSize(pool *IPPool, spec *vrouterv1.IPPoolSpec) int {
	const path = "spec.blockSize"
	size := int(defaultBlockSize(pool.CIDR))
	if spec.BlockSize != nil {
		size = int(*spec.BlockSize)
	}
	least, most := minBlockSize4, maxBlockSize4
	if !pool.CIDR.Addr().Is4() {
		least, most = minBlockSize6, maxBlockSize6
	}
	switch {
	case size < least || size > most:
		p.addf(path, "%d is not between %d and %d", size, least, most)
	case size < pool.CIDR.Bits() && !pool.Disabled:
		p.addf(path, "a block of /%d does not fit into the pool %s", size, pool.CIDR)
	}
	return size
}

// encap checks a mode; what is none counts as Never, so that it is reported
// once.
func (p *problems) encap(path, text string) EncapMode {
	switch mode := EncapMode(text); mode {
	case "", EncapNever:
		return EncapNever
	case EncapAlways, EncapCrossSubnet:
		p.unsupported(true, path, string(EncapNever))
		return mode
	}
	p.addf(path, "%q is none of %s, %s, %s", text, EncapNever, EncapAlways, EncapCrossSubnet)
	return EncapNever
}

// assignmentMode tells whether the pool gives addresses only to who names it.
func (p *problems) assignmentMode(text string) bool {
	switch text {
	case "", assignAutomatic, assignManual:
	default:
		p.addf("spec.assignmentMode", "%q is none of %s, %s", text, assignAutomatic, assignManual)
	}
	return text == assignManual
}

// advertise checks what is told to peers; what is no mode counts as the default.
func (p *problems) advertise(text string) Advertise {
	switch mode := Advertise(text); mode {
	case "":
		return AdvertiseEndpoints
	case AdvertiseEndpoints, AdvertiseBlocks, AdvertiseBoth:
		return mode
	}
	p.addf("spec.advertise", "%q is none of %s, %s, %s", text, AdvertiseEndpoints, AdvertiseBlocks, AdvertiseBoth)
	return AdvertiseEndpoints
}

// allowedUses reads what the pool is for: workloads and tunnels, if nothing is
// said.
func (p *problems) allowedUses(texts []string) []Use {
	if len(texts) == 0 {
		return []Use{UseWorkload, UseTunnel}
	}
	const path = "spec.allowedUses"
	known := []Use{UseWorkload, UseTunnel, UseLoadBalancer}
	if len(texts) > len(known) {
		p.addf(path, "%d uses, there are but three", len(texts))
		return nil
	}
	var uses []Use
	for i, text := range texts {
		switch use := Use(text); {
		case !slices.Contains(known, use):
			p.addf(index(path, i), "%q is none of %s, %s, %s", text, UseWorkload, UseTunnel, UseLoadBalancer)
		case slices.Contains(uses, use):
			p.addf(index(path, i), "%q is listed twice", text)
		default:
			uses = append(uses, use)
		}
	}
	return uses
}

// poolSelector reads a selector that matches everything when absent, or when
// it does not parse, which is reported.
func (p *problems) poolSelector(path string, text *string) *selector.Selector {
	sel, err := parseSelector(text)
	p.err(path, err)
	if sel == nil {
		return selector.All()
	}
	return sel
}
