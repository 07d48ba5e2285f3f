package ipam

import (
	"fmt"
	"net/netip"
	"strings"
)

// Family is an address family.
type Family int

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String returns "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", int(f)) }

// FamilyOf returns the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// MaxRequest is how many addresses of a family one request may ask for: as many
// as the largest block has.
const MaxRequest = 1 << MaxBlockBits

// Request asks for addresses wherever there are some.
type Request struct {
	Node            string            // that they are used on, or "virtual:NAME"
	NodeLabels      map[string]string // for the pools' nodeSelector
	NamespaceLabels map[string]string // of the namespace or tenant, for the pools' namespaceSelector
	Use             Use               // empty: UseWorkload
	IPv4, IPv6      int               // how many of each family
	// Pools are names or CIDRs of pools to be used in this order, whatever they
	// select. Empty: those that select node and namespace, in order of names.
	Pools     []string
	MaxBlocks int // of a family that the node may have; zero: as configured

	Handle     string // holds the addresses
	Owner      Owner
	Attributes map[string]string // text for people

	// Partial says that fewer addresses are better than none. Otherwise a
	// request that cannot be met takes nothing.
	Partial bool
	// Resume counts what the handle holds already: the same request twice gives
	// the same addresses.
	Resume bool
}

// Allocation is an address that was given out.
type Allocation struct {
	Address  netip.Addr
	Block    netip.Prefix
	Pool     string
	Handle   string
	Sequence uint64 // for a guarded release
	Borrowed bool   // from a block that is not the node's
	Existed  bool   // the handle held it before
}

// Result is the outcome of a request.
type Result struct {
	Allocations []Allocation // IPv4 first, in the order in which they were found
	// Short says, by family, what is missing and why, if the request was
	// Partial.
	Short []*ExhaustedError
	// Low says that a reserve would be of use, see Step.KeepSpare.
	Low bool
	// More says that there is more to be had, and no room for it in one
	// transaction: commit, then ask for the rest with Resume.
	More bool
}

// check returns what is wrong with a request.
func (r *Request) check() error {
	var bad []Problem
	add := func(path, format string, args ...any) {
		bad = append(bad, Problem{path, fmt.Sprintf(format, args...)})
	}
	bad = append(bad, checkNode(r.Node)...)
	for _, n := range []struct {
		path  string
		count int
	}{{"ipv4", r.IPv4}, {"ipv6", r.IPv6}} {
		if n.count < 0 || n.count > MaxRequest {
			add(n.path, "%d is not between 0 and %d", n.count, MaxRequest)
		}
	}
	if r.IPv4 == 0 && r.IPv6 == 0 {
		add("ipv4", "neither IPv4 nor IPv6 addresses are asked for")
	}
	if r.MaxBlocks < 0 {
		add("maxBlocks", "%d is negative", r.MaxBlocks)
	}
	bad = append(bad, checkUse(r.Use)...)
	bad = append(bad, checkHolder(r.Handle, r.Owner)...)
	bad = append(bad, checkAttributes(r.Attributes)...)
	if len(bad) > 0 {
		return &RequestError{bad}
	}
	return nil
}

func checkUse(use Use) []Problem {
	switch use {
	case "", UseWorkload, UseTunnel, UseLoadBalancer:
		return nil
	}
	return []Problem{{"use", fmt.Sprintf("%q is none of %s, %s, %s", use, UseWorkload, UseTunnel, UseLoadBalancer)}}
}

// maxNode is the longest name of a node, in bytes: that of an object.
const maxNode = 253

// checkNode returns what is wrong with the name of who an address is for.
func checkNode(node string) []Problem {
	name := strings.TrimPrefix(node, virtualType)
	switch {
	case name == "":
		return []Problem{{"node", "is needed"}}
	case len(name) > maxNode:
		return []Problem{{"node", fmt.Sprintf("%d bytes, at most %d are allowed", len(name), maxNode)}}
	}
	return nil
}

// maxAttributes is how many bytes the attributes of a holder may have: a block
// holds those of all of its addresses, and must fit into the store.
const maxAttributes = 1024

func checkAttributes(attributes map[string]string) []Problem {
	n := 0
	for key, value := range attributes {
		n += len(key) + len(value)
	}
	if n > maxAttributes {
		return []Problem{{"attributes", fmt.Sprintf("%d bytes, at most %d are allowed", n, maxAttributes)}}
	}
	return nil
}

// MaxHandle is the longest handle, in bytes.
const MaxHandle = 512

// checkHolder returns what is wrong with a handle and its owner.
func checkHolder(handle string, owner Owner) []Problem {
	var bad []Problem
	if handle == "" || len(handle) > MaxHandle {
		bad = append(bad, Problem{"handle", fmt.Sprintf("1 to %d bytes are needed, it has %d", MaxHandle, len(handle))})
	}
	switch owner.Kind {
	case OwnerEndpoint, OwnerTunnel, OwnerLoadBalancer:
		if owner.Key == "" {
			bad = append(bad, Problem{"owner.key", fmt.Sprintf("is needed for an owner of kind %s", owner.Kind)})
		}
	case OwnerExternal:
		if owner.Key != "" {
			bad = append(bad, Problem{"owner.key", "what is external has none"})
		}
	default:
		bad = append(bad, Problem{"owner.kind", fmt.Sprintf("%q is none of %s, %s, %s, %s",
			owner.Kind, OwnerEndpoint, OwnerTunnel, OwnerLoadBalancer, OwnerExternal)})
	}
	return bad
}
