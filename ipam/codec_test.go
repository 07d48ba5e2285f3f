package ipam

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// usedBlock returns a block with a history.
func usedBlock() *Block {
	b := newBlock(netip.MustParsePrefix("10.0.0.0/29"), 100)
	b.Affinity, b.ClaimedAt = "host:h1", time.Unix(1_800_000_000, 0)
	b.Sequence++
	b.takeAny(5, &Env{}, attributeOf("a", "h1"))
	b.Sequence++
	b.take(7, attributeOf("b", ""))
	b.release([]int{1, 2}, 1_800_000_100)
	return b
}

// attributeOf is that of a handle, with a node if there is one.
func attributeOf(handle, node string) *attribute {
	var secondary map[string]string
	if node != "" {
		secondary = map[string]string{"node": node}
	}
	a, err := newAttribute(handle, secondary)
	if err != nil {
		panic(err) // it is UTF-8
	}
	return a
}

func encoded(t testing.TB, e encoder) []byte {
	t.Helper()
	data, err := e.encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBlockRoundTrip(t *testing.T) {
	b := usedBlock()
	data := encoded(t, b)
	got, err := DecodeBlock(data)
	if err != nil {
		t.Fatal(err)
	}
	if again := encoded(t, got); !bytes.Equal(again, data) {
		t.Error("encoded otherwise after decoding")
	}
	if got.CIDR != b.CIDR || got.Affinity != b.Affinity || !got.ClaimedAt.Equal(b.ClaimedAt) || got.Sequence != 102 {
		t.Errorf("got %+v", got)
	}
	h, held := got.Holding(netip.MustParseAddr("10.0.0.7"))
	if !held || h.Handle != "b" || h.Sequence != 102 {
		t.Errorf("holding of .7: %+v, %v", h, held)
	}
	var order []string
	for _, i := range got.idle {
		order = append(order, got.Addr(int(i.ordinal)).String())
	}
	if text := strings.Join(order, " "); text != "10.0.0.5 10.0.0.6 10.0.0.1 10.0.0.2" {
		t.Errorf("free: %s", text)
	}
}

// What a newer version has written stays, in the block and in its attributes,
// also when the block is changed.
func TestUnknownFieldsAreKept(t *testing.T) {
	unknown := protowire.AppendTag(nil, 100, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "of tomorrow")
	var m vrouterv1.IPAMBlockSpec
	if err := proto.Unmarshal(encoded(t, usedBlock()), &m); err != nil {
		t.Fatal(err)
	}
	m.ProtoReflect().SetUnknown(unknown)
	m.Attributes[1].ProtoReflect().SetUnknown(unknown)
	data, err := marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := DecodeBlock(data)
	if err != nil {
		t.Fatal(err)
	}
	b = b.edit()
	b.take(1, attributeOf("b", "")) // as the attribute with more, which is not known to be the same
	b.release([]int{0}, 0)
	if n := bytes.Count(encoded(t, b), unknown); n != 2 || len(b.attributes) != 3 {
		t.Errorf("unknown fields %d times in %d attributes, wanted 2 and 3", n, len(b.attributes))
	}

	a := &BlockAffinity{Node: "h", CIDR: b.CIDR, State: Pending, unknown: unknown}
	if got, err := DecodeAffinity(encoded(t, a)); err != nil || !bytes.Equal(got.unknown, unknown) {
		t.Errorf("affinity: %v, %v", got, err)
	}
	h := &Handle{ID: "x", Owner: Owner{OwnerEndpoint, "r/x"}, Blocks: map[netip.Prefix]int{b.CIDR: 2}, unknown: unknown}
	got, err := DecodeHandle(encoded(t, h.add(b.CIDR, 1)))
	if err != nil || !bytes.Equal(got.unknown, unknown) || got.Blocks[b.CIDR] != 3 || got.Owner != h.Owner {
		t.Errorf("handle: %+v, %v", got, err)
	}
}

func TestVirtualAffinity(t *testing.T) {
	a := &BlockAffinity{Node: "virtual:load-balancer", CIDR: netip.MustParsePrefix("10.0.0.0/26"), State: Confirmed, Assigned: true}
	got, err := DecodeAffinity(encoded(t, a))
	if err != nil || got.Node != a.Node || !got.Assigned || AffinityOf(a.Node) != "virtual:load-balancer" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A block that contradicts itself gives out nothing.
func TestContradictoryBlocks(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*vrouterv1.IPAMBlockSpec)
	}{
		{"free twice", func(m *vrouterv1.IPAMBlockSpec) { m.Unallocated[1] = m.Unallocated[0] }},
		{"free and held", func(m *vrouterv1.IPAMBlockSpec) { m.Unallocated[0] = 0 }},
		{"neither", func(m *vrouterv1.IPAMBlockSpec) { m.Unallocated = m.Unallocated[1:] }},
		{"beyond the block", func(m *vrouterv1.IPAMBlockSpec) { m.Unallocated[0] = 8 }},
		{"no such attribute", func(m *vrouterv1.IPAMBlockSpec) { m.Allocations[0] = 9 }},
		{"attribute of nobody", func(m *vrouterv1.IPAMBlockSpec) { m.Attributes = append(m.Attributes, m.Attributes[0]) }},
		{"sequence of a free one", func(m *vrouterv1.IPAMBlockSpec) { m.SequenceNumberForAllocation[5] = 1 }},
		{"too few", func(m *vrouterv1.IPAMBlockSpec) { m.Allocations = m.Allocations[1:] }},
		{"host bits", func(m *vrouterv1.IPAMBlockSpec) { m.Cidr = proto.String("10.0.0.1/29") }},
		{"too large", func(m *vrouterv1.IPAMBlockSpec) { m.Cidr = proto.String("10.0.0.0/8") }},
		{"no prefix", func(m *vrouterv1.IPAMBlockSpec) { m.Cidr = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m vrouterv1.IPAMBlockSpec
			if err := proto.Unmarshal(encoded(t, usedBlock()), &m); err != nil {
				t.Fatal(err)
			}
			c.spoil(&m)
			data, err := marshal(&m)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := DecodeBlock(data); err == nil {
				t.Errorf("decoded as %+v", b)
			}
		})
	}
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add(encoded(f, usedBlock()))
	f.Add(encoded(f, newBlock(netip.MustParsePrefix("fd00::/122"), 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBlock(data)
		if err != nil {
			return
		}
		again, err := DecodeBlock(encoded(t, b))
		if err != nil {
			t.Fatalf("decoded once and not again: %v", err)
		}
		if !bytes.Equal(encoded(t, again), encoded(t, b)) {
			t.Error("encoded otherwise after decoding")
		}
		c := b.edit()
		taken := c.takeAny(3, &Env{}, attributeOf("fuzz", ""))
		c.release(taken, 1)
		if err := c.consistent(); err != nil {
			t.Errorf("after an edit: %v", err)
		}
	})
}

func FuzzDecodeIndexes(f *testing.F) {
	f.Add(encoded(f, &BlockAffinity{Node: "h", CIDR: netip.MustParsePrefix("10.0.0.0/26"), State: Pending}))
	f.Add(encoded(f, &Handle{ID: "x", Blocks: map[netip.Prefix]int{netip.MustParsePrefix("10.0.0.0/26"): 1}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := DecodeAffinity(data); err == nil {
			if _, err := DecodeAffinity(encoded(t, a)); err != nil {
				t.Errorf("affinity decoded once and not again: %v", err)
			}
		}
		if h, err := DecodeHandle(data); err == nil {
			if _, err := DecodeHandle(encoded(t, h)); err != nil {
				t.Errorf("handle decoded once and not again: %v", err)
			}
		}
	})
}
