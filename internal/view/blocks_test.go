package view

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// claim stores that a node has a block, in that state.
func claim(t testing.TB, node, cidr, state string, revision int64) store.KV {
	t.Helper()
	value, err := proto.Marshal(&vrouterv1.BlockAffinitySpec{
		State: proto.String(state), Node: proto.String(node), Type: proto.String("host"), Cidr: proto.String(cidr),
	})
	if err != nil {
		t.Fatal(err)
	}
	return store.KV{Key: store.HostBlockKey(node, netip.MustParsePrefix(cidr)), Value: value, ModRevision: revision}
}

func wantBlocks(t *testing.T, b *Blocks, want ...string) {
	t.Helper()
	var got []string
	for _, own := range b.Owned() {
		line := own.CIDR.String()
		if own.Draining {
			line += " draining"
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("blocks %q, want %q", got, want)
	}
}

func TestBlocks(t *testing.T) {
	b := NewBlocks(self)
	b.Apply(puts(3, claim(t, self, "10.0.0.64/26", "confirmed", 1), claim(t, self, "10.0.0.0/26", "confirmed", 2),
		claim(t, self, "10.0.1.0/26", "pending", 3)))
	wantBlocks(t, b, "10.0.0.0/26", "10.0.0.64/26")
	if !signalled(b.Changed()) || !signalled(b.CopyChanged()) || !signalled(b.Synced()) {
		t.Error("nobody was told of blocks")
	}
	b.Apply(puts(5, claim(t, self, "10.0.1.0/26", "confirmed", 5), claim(t, self, "10.0.0.0/26", "pendingDeletion", 5)))
	wantBlocks(t, b, "10.0.0.0/26 draining", "10.0.0.64/26", "10.0.1.0/26")
	b.Apply(deletes(5, store.HostBlockKey(self, netip.MustParsePrefix("10.0.0.0/26"))))

	// What does not convert keeps its last good form, and the copy has that.
	newer := claim(t, self, "10.0.1.0/26", "resting", 6)
	stray := claim(t, self, "10.0.9.0/26", "confirmed", 6)
	stray.Key = store.HostBlockKey(self, netip.MustParsePrefix("10.0.8.0/26"))
	b.Apply(puts(6, newer, stray))
	wantBlocks(t, b, "10.0.0.64/26", "10.0.1.0/26")
	problems := b.Problems()
	if all := strings.Join(problems, "\n"); len(problems) != 2 || !strings.Contains(all, `no state "resting"`) ||
		!strings.Contains(all, "it holds the claim of host1 to 10.0.9.0/26") {
		t.Errorf("problems: %s", all)
	}
	copied := b.Copy()
	restarted := NewBlocks(self)
	restarted.Load(append(copied, kv(t, node("host2", "192.0.2.2/24"), 1)))
	wantBlocks(t, restarted, "10.0.0.64/26", "10.0.1.0/26")
	if !signalled(restarted.Changed()) || signalled(restarted.CopyChanged()) || signalled(restarted.Synced()) {
		t.Error("a copy counts as what the store has told")
	}
	// A view has nothing to do with them, and another name owns none.
	v := New(self)
	v.Load(copied)
	if kvs, _, _ := v.Copy(); len(kvs) > 0 {
		t.Errorf("the view has %d of them", len(kvs))
	}
	renamed := NewBlocks("host3")
	renamed.Load(copied)
	wantBlocks(t, renamed)

	// A new snapshot decides what is gone, once it is whole.
	b.Restart()
	if signalled(b.Synced()) {
		t.Error("in sync with a watch that has told nothing")
	}
	b.Apply(store.Batch{Events: puts(7, claim(t, self, "10.0.1.0/26", "confirmed", 7)).Events})
	wantBlocks(t, b, "10.0.0.64/26", "10.0.1.0/26")
	signalled(b.Changed())
	b.Apply(puts(7))
	wantBlocks(t, b, "10.0.1.0/26")
	if !signalled(b.Changed()) {
		t.Error("nobody was told that a block is gone")
	}
	b.Apply(deletes(8, claim(t, self, "10.0.1.0/26", "confirmed", 7).Key))
	wantBlocks(t, b)
	signalled(b.Changed())
	b.Apply(puts(9))
	if signalled(b.Changed()) {
		t.Error("signal without news")
	}
}
