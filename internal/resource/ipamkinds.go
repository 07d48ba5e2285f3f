package resource

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// The kinds of address management.
const (
	KindNamespace         Kind = "Namespace"
	KindIPReservation     Kind = "IPReservation"
	KindIPAMConfiguration Kind = "IPAMConfiguration"

	KindIPAMBlock     Kind = "IPAMBlock"
	KindBlockAffinity Kind = "BlockAffinity"
	KindIPAMHandle    Kind = "IPAMHandle"
)

// IPAMKinds returns the kinds that address management makes by itself. They can
// be read and are no manifests; the store holds their specs alone, in ranges of
// their own.
func IPAMKinds() []Kind { return []Kind{KindIPAMBlock, KindBlockAffinity, KindIPAMHandle} }

// Use is what the addresses of a pool are for.
type Use string

// The uses of pools.
const (
	UseWorkload     Use = "Workload"
	UseTunnel       Use = "Tunnel"
	UseLoadBalancer Use = "LoadBalancer"
)

// Namespace is a scope of workloads; its labels are all that it is.
type Namespace struct{ Meta }

// IPReservation keeps addresses from being given out by themselves.
type IPReservation struct {
	Meta
	CIDRs []netip.Prefix
}

// DefaultMaxBlocks is how many blocks of a family a host may have when nothing
// says otherwise.
const DefaultMaxBlocks = 20

// IPAMConfiguration holds for all of address management. What the settings may
// be together is address management's to say.
type IPAMConfiguration struct {
	Meta
	StrictAffinity   bool // a host uses its own blocks only
	NoAutoAllocate   bool // blocks are assigned, never claimed
	MaxBlocksPerHost int  // of a family; zero: not given
	Cooldown         time.Duration
	Foreign          []netip.Prefix // ranges that no pool may overlap
}

// BlockName returns the name that Calico gives the object of a block:
// 10-0-0-0-26, fd00---122.
func BlockName(cidr netip.Prefix) string {
	return strings.NewReplacer(".", "-", ":", "-", "/", "-").Replace(cidr.String())
}

// ParseBlockName takes apart what BlockName made. A CIDR will do, too.
func ParseBlockName(name string) (netip.Prefix, error) {
	if cidr, err := netip.ParsePrefix(name); err == nil {
		return cidr.Masked(), nil
	}
	if i := strings.LastIndexByte(name, '-'); i >= 0 {
		for _, dot := range []string{".", ":"} {
			cidr, err := netip.ParsePrefix(strings.ReplaceAll(name[:i], "-", dot) + "/" + name[i+1:])
			if err == nil && BlockName(cidr.Masked()) == name {
				return cidr, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("block %q: neither a CIDR nor one with dashes, such as 10-0-0-0-26", name)
}

// AffinityName returns the name of the object of a node's affinity to a block:
// NODE.10-0-0-0-26.
func AffinityName(node string, cidr netip.Prefix) string { return node + "." + BlockName(cidr) }

// ParseAffinityName takes apart what AffinityName made. NODE/CIDR will do, too.
func ParseAffinityName(name string) (node string, cidr netip.Prefix, err error) {
	node, rest, slash := strings.Cut(name, "/")
	if !slash {
		i := max(strings.LastIndexByte(name, '.'), 0)
		node, rest = name[:i], strings.TrimPrefix(name[i:], ".")
	}
	cidr, err = ParseBlockName(rest)
	if err != nil || node == "" {
		return "", netip.Prefix{}, fmt.Errorf("affinity %q: not of the form NODE.BLOCK, such as host1.10-0-0-0-26", name)
	}
	return node, cidr, nil
}

// findIPAM returns the name in its one form of an object that address
// management made.
func findIPAM(kind Kind, name string) (string, error) {
	switch kind {
	case KindIPAMBlock:
		cidr, err := ParseBlockName(name)
		return BlockName(cidr), err
	case KindBlockAffinity:
		node, cidr, err := ParseAffinityName(name)
		return AffinityName(node, cidr), err
	}
	return name, nil
}

// decodeIPAM makes the object of what address management stored.
func decodeIPAM(kind Kind, data []byte, revision int64) (proto.Message, error) {
	msg, _ := New(kind)
	if err := proto.Unmarshal(data, SpecOf(msg)); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	name := ""
	switch m := msg.(type) {
	case *vrouterv1.IPAMBlock:
		cidr, err := netip.ParsePrefix(m.GetSpec().GetCidr())
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", kind, err)
		}
		name = BlockName(cidr)
	case *vrouterv1.BlockAffinity:
		cidr, err := netip.ParsePrefix(m.GetSpec().GetCidr())
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", kind, err)
		}
		node := m.GetSpec().GetNode()
		if m.GetSpec().GetType() == "virtual" {
			node = "virtual:" + node
		}
		name = AffinityName(node, cidr)
	case *vrouterv1.IPAMHandle:
		name = m.GetSpec().GetHandleId()
	}
	setText(msg, "api_version", apiVersion(kind))
	setText(msg, "kind", string(kind))
	MetadataOf(msg).Name = proto.String(name)
	SetVersion(msg, revision)
	return msg, nil
}
