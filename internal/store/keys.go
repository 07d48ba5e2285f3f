package store

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The ranges of keys. Every segment below them is percent-escaped.
const (
	ResourcePrefix = "r/"          // r/KIND/NAMESPACE|-/NAME: spec and metadata
	StatusPrefix   = "s/"          // s/KIND/NAMESPACE|-/NAME: status, one writer
	AddressPrefix  = "a/"          // a/ADDRESS: the endpoint that holds it
	BlockPrefix    = "ipam/block/" // ipam/block/CIDR
	HandlePrefix   = "ipam/handle/"
	HostsPrefix    = "ipam/host/" // ipam/host/NODE/CIDR
	LivingPrefix   = "live/"      // live/ROLE/NODE, under a lease
	electPrefix    = "elect/"
)

// MetaKey holds the identity of the cluster; see Identity.
const MetaKey = "meta"

// SequenceKey holds, in decimal, what the sequence numbers of IPAM blocks begin
// above, beside the revision: that of the store which this one was imported from.
const SequenceKey = "ipam/sequence"

// ReflectorReport is the kind under whose status a reflector tells the
// controller whom it serves. There are no objects of it.
const ReflectorReport = "Reflector"

// noNamespace stands where a resource has no namespace. A namespace of that
// name is escaped, so that the two differ.
const noNamespace = "-"

// ResourceKey returns the key of a resource's spec and metadata. An empty
// namespace means none; kind and name must not be empty.
func ResourceKey(kind, namespace, name string) string {
	return ResourcePrefix + resource(kind, namespace, name)
}

// StatusKey returns the key of a resource's status.
func StatusKey(kind, namespace, name string) string {
	return StatusPrefix + resource(kind, namespace, name)
}

// KindPrefix returns the range of all resources of a kind.
func KindPrefix(kind string) string { return ResourcePrefix + Escape(kind) + "/" }

// NamespacePrefix returns the range of a kind's resources in one namespace, or
// of those without one.
func NamespacePrefix(kind, namespace string) string {
	return KindPrefix(kind) + escapeNamespace(namespace) + "/"
}

// AddressKey returns the key that says which endpoint holds an address. An
// IPv4 address mapped into IPv6 has the key of the IPv4 address, and a zone
// does not count.
func AddressKey(a netip.Addr) string {
	return AddressPrefix + Escape(a.Unmap().WithZone("").String())
}

// BlockKey returns the key of an IPAM block.
func BlockKey(cidr netip.Prefix) string {
	var room [longKey]byte
	return string(appendPrefix(append(room[:0], BlockPrefix...), cidr))
}

// HandleKey returns the key of an IPAM handle.
func HandleKey(id string) string { return HandlePrefix + Escape(id) }

// HostBlockKey returns the key that says that a node has affinity to a block.
func HostBlockKey(node string, cidr netip.Prefix) string {
	var room [longKey]byte
	b := append(append(room[:0], HostsPrefix...), Escape(node)...)
	return string(appendPrefix(append(b, '/'), cidr))
}

// HostBlockPrefix returns the range of a node's affinities.
func HostBlockPrefix(node string) string { return HostsPrefix + Escape(node) + "/" }

// LiveKey returns the key that lives while a node's daemon does.
func LiveKey(role, node string) string { return LivePrefix(role) + Escape(node) }

// LivePrefix returns the range of all living daemons of a role.
func LivePrefix(role string) string { return LivingPrefix + Escape(role) + "/" }

// ElectKey returns the key of an election.
func ElectKey(name string) string { return electPrefix + Escape(name) }

// ParseResourceKey takes apart what ResourceKey or StatusKey made.
func ParseResourceKey(key string) (kind, namespace, name string, err error) {
	rest, ok := strings.CutPrefix(key, ResourcePrefix)
	if !ok {
		rest, ok = strings.CutPrefix(key, StatusPrefix)
	}
	if !ok {
		return "", "", "", fmt.Errorf("key %q: neither a resource nor a status", key)
	}
	kind, rest, _ = strings.Cut(rest, "/")
	namespace, name, _ = strings.Cut(rest, "/")
	if kind, err = segment(kind); err == nil {
		namespace, err = parseNamespace(namespace)
	}
	if err == nil {
		name, err = segment(name)
	}
	if err != nil {
		return "", "", "", fmt.Errorf("key %q: %w", key, err)
	}
	return kind, namespace, name, nil
}

// ParseAddressKey takes apart what AddressKey made.
func ParseAddressKey(key string) (netip.Addr, error) {
	part, err := parseBelow(key, AddressPrefix, 1)
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(part[0])
	if err != nil {
		return netip.Addr{}, fmt.Errorf("key %q: %w", key, err)
	}
	if AddressKey(a) != key {
		return netip.Addr{}, fmt.Errorf("key %q: not the canonical form of an address", key)
	}
	return a, nil
}

// ParseLiveKey takes apart what LiveKey made.
func ParseLiveKey(key string) (role, node string, err error) {
	part, err := parseBelow(key, LivingPrefix, 2)
	if err != nil {
		return "", "", err
	}
	return part[0], part[1], nil
}

// ParseBlockKey takes apart what BlockKey made.
func ParseBlockKey(key string) (netip.Prefix, error) {
	part, err := parseBelow(key, BlockPrefix, 1)
	if err != nil {
		return netip.Prefix{}, err
	}
	return parsePrefix(key, part[0])
}

// ParseHostBlockKey takes apart what HostBlockKey made.
func ParseHostBlockKey(key string) (node string, cidr netip.Prefix, err error) {
	part, err := parseBelow(key, HostsPrefix, 2)
	if err != nil {
		return "", netip.Prefix{}, err
	}
	cidr, err = parsePrefix(key, part[1])
	return part[0], cidr, err
}

// ParseHandleKey takes apart what HandleKey made.
func ParseHandleKey(key string) (string, error) {
	part, err := parseBelow(key, HandlePrefix, 1)
	if err != nil {
		return "", err
	}
	return part[0], nil
}

func resource(kind, namespace, name string) string {
	return Escape(kind) + "/" + escapeNamespace(namespace) + "/" + Escape(name)
}

// longKey is room for most keys, so that making one takes no memory but its own.
const longKey = 128

// appendPrefix appends a prefix as Escape renders it.
func appendPrefix(b []byte, p netip.Prefix) []byte {
	p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()).Masked()
	b = append(p.Addr().AppendTo(b), "%2F"...)
	return strconv.AppendInt(b, int64(p.Bits()), 10)
}

func parsePrefix(key, text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("key %q: %w", key, err)
	}
	if p.Masked().String() != text {
		return netip.Prefix{}, fmt.Errorf("key %q: not the canonical form of a prefix", key)
	}
	return p, nil
}

// parseBelow splits what follows a prefix into n unescaped segments.
func parseBelow(key, prefix string, n int) ([]string, error) {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return nil, fmt.Errorf("key %q: not below %s", key, prefix)
	}
	part := strings.Split(rest, "/")
	if len(part) != n {
		return nil, fmt.Errorf("key %q: %d segments, wanted %d", key, len(part), n)
	}
	for i := range part {
		text, err := segment(part[i])
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		part[i] = text
	}
	return part, nil
}
