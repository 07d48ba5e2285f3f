package nftables

import (
	"fmt"

	"github.com/projectvrouter/vrouter/policy"
)

// A kernelSet is one of the kernel's sets of members. The members of all our
// sets share them, because the kernel finds a set by walking all of a table;
// they are in shards by the number of their set, because it begins anew for
// each part of an answer when it tells the elements of one.
type kernelSet struct {
	shard byte
	f     *family
	bits  int // length of the prefixes; zero for ports, too
	ports bool
}

// shards is how many there are: with a million members a read-back takes a
// sixty-fourth of the time that a single set would, and a walk is short.
const shards = 64

// setOf is where members of a set are.
func setOf(n setNumber, kind policy.SetKind, f *family, bits int) kernelSet {
	k := kernelSet{shard: n[0] % shards, f: f, bits: bits}
	if kind == policy.Ports {
		k.bits, k.ports = 0, true
	}
	return k
}

func (k kernelSet) name() string {
	switch {
	case k.ports:
		return fmt.Sprintf("ports%d-%02x", k.f.version, k.shard)
	case k.bits == k.f.bits:
		return fmt.Sprintf("members%d-%02x", k.f.version, k.shard)
	}
	return fmt.Sprintf("members%d-%02x-%d", k.f.version, k.shard, k.bits)
}

func (k kernelSet) typ() *setType {
	if k.ports {
		return &k.f.ports
	}
	return &k.f.members
}

// setsFor are the kernel's sets that rules ask for members of a set.
func (m *members) setsFor(id policy.SetID) []kernelSet {
	n := numberOf(id)
	var out []kernelSet
	for _, f := range []*family{ipv4, ipv6} {
		for _, bits := range m.lengths(f) {
			out = append(out, setOf(n, m.kind, f, bits))
		}
	}
	return out
}
