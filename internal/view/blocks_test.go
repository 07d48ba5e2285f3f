package view

import (
	"fmt"
	"net/netip"
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

func wantBlocks(t *testing.T, v *View, want ...string) {
	t.Helper()
	if got := fmt.Sprint(v.Blocks()); got != fmt.Sprint(want) {
		t.Errorf("blocks %s, want %s", got, want)
	}
}

func TestBlocks(t *testing.T) {
	v := New(self)
	v.Apply(puts(4, claim(t, self, "10.0.0.64/26", "confirmed", 1), claim(t, self, "10.0.0.0/26", "confirmed", 2),
		claim(t, self, "10.0.1.0/26", "pending", 3), claim(t, "host2", "10.0.2.0/26", "confirmed", 4)))
	wantBlocks(t, v, "10.0.0.0/26", "10.0.0.64/26")
	if !signalled(v.BlocksChanged()) {
		t.Error("nobody was told of blocks")
	}
	v.Apply(puts(5, claim(t, self, "10.0.1.0/26", "confirmed", 5), claim(t, self, "10.0.0.0/26", "pendingDeletion", 5)))
	wantBlocks(t, v, "10.0.0.64/26", "10.0.1.0/26")

	// What does not convert keeps its last good form, and the copy has that.
	newer := claim(t, self, "10.0.1.0/26", "resting", 6)
	stray := claim(t, self, "10.0.9.0/26", "confirmed", 6)
	stray.Key = store.HostBlockKey(self, netip.MustParsePrefix("10.0.8.0/26"))
	v.Apply(puts(6, newer, stray))
	wantBlocks(t, v, "10.0.0.64/26", "10.0.1.0/26")
	var problems []string
	for key, err := range v.Problems() {
		problems = append(problems, fmt.Sprint(key, ": ", err))
	}
	if all := strings.Join(problems, "\n"); len(problems) != 2 || !strings.Contains(all, `no state "resting"`) ||
		!strings.Contains(all, "it holds the claim of host1 to 10.0.9.0/26") {
		t.Errorf("problems: %s", all)
	}
	copied, _, _ := v.Copy()
	restarted := New(self)
	restarted.Load(copied)
	wantBlocks(t, restarted, "10.0.0.64/26", "10.0.1.0/26")

	// Another name owns nothing of it.
	renamed := New("host3")
	renamed.Load(copied)
	wantBlocks(t, renamed)

	// A new snapshot decides what is gone, once it is whole.
	v.Restart()
	v.Apply(store.Batch{Events: puts(7, claim(t, self, "10.0.1.0/26", "confirmed", 7)).Events})
	wantBlocks(t, v, "10.0.0.64/26", "10.0.1.0/26")
	signalled(v.BlocksChanged())
	v.Apply(puts(7))
	wantBlocks(t, v, "10.0.1.0/26")
	if !signalled(v.BlocksChanged()) {
		t.Error("nobody was told that a block is gone")
	}
	v.Apply(deletes(8, claim(t, self, "10.0.1.0/26", "confirmed", 7).Key))
	wantBlocks(t, v)
	v.Apply(puts(9, kv(t, node("host2", "192.0.2.2/24"), 9)))
	signalled(v.BlocksChanged())
	v.Apply(puts(10, kv(t, node("host2", "192.0.2.3/24"), 10)))
	if signalled(v.BlocksChanged()) {
		t.Error("a node was told as a block")
	}
}
