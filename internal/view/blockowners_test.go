package view

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

func TestBlockOwners(t *testing.T) {
	const cidr = "10.0.0.0/26"
	block := netip.MustParsePrefix(cidr)
	b := NewBlockOwners()
	check := func(want string, changed bool) {
		t.Helper()
		if got, ok := b.Of(block); got != want || ok != (want != "") {
			t.Errorf("it is %q's, want %q", got, want)
		}
		if told, news := signalled(b.Changed()), b.Drain(); told != changed || slices.Contains(news, block) != changed {
			t.Errorf("told %t of %v, want %t", told, news, changed)
		}
	}
	check("", false)
	b.Apply(puts(1, claim(t, "a", cidr, "pending", 1)))
	check("", false)
	b.Apply(puts(2, claim(t, "a", cidr, "confirmed", 2)))
	check("a", true)
	b.Apply(puts(3, claim(t, "a", cidr, "pendingDeletion", 3)))
	check("a", false)
	newer := claim(t, "a", cidr, "resting", 4)
	b.Apply(puts(4, newer))
	check("a", false)

	// It is taken over in one transaction, told in either order.
	taken := puts(5, claim(t, "b", cidr, "confirmed", 5))
	taken.Events = append(taken.Events, deletes(5, newer.Key).Events...)
	b.Apply(taken)
	check("b", true)
	b.Apply(puts(6, claim(t, "c", cidr, "confirmed", 6))) // b's is left over
	check("c", true)
	b.Apply(puts(7, claim(t, "c", cidr, "pending", 7)))
	check("b", true)

	// Another watch: what it does not tell is gone when it is whole.
	b.Restart()
	if b.Synced() {
		t.Error("in sync with a watch that has told nothing")
	}
	page := puts(0, claim(t, "c", "10.0.0.64/26", "confirmed", 8))
	page.Synced = false
	b.Apply(page)
	if got, _ := b.Of(block); got != "b" || b.Synced() {
		t.Errorf("a page of a snapshot changed the owner to %q", got)
	}
	b.Drain()
	b.Apply(puts(8))
	signalled(b.Changed())
	if _, ok := b.Of(block); ok || !b.Synced() || fmt.Sprint(b.Drain()) != "[10.0.0.0/26]" {
		t.Error("the new snapshot did not decide")
	}
}

// TestBlockOwnersWalk: whatever the way, the owners are those of what is stored,
// and who asks again for what Drain names knows all.
func TestBlockOwnersWalk(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	b, stored, known := NewBlockOwners(), make(map[string]store.KV), make(map[netip.Prefix]string)
	for revision := int64(1); revision < 3000; revision++ {
		batch := store.Batch{Revision: revision, Synced: true}
		if rng.IntN(20) == 0 {
			b.Restart()
			for _, kv := range stored {
				batch.Events = append(batch.Events, store.Event{Type: store.Put, KV: kv})
			}
		}
		for range rng.IntN(4) {
			state := []string{"pending", "confirmed", "pendingDeletion"}[rng.IntN(3)]
			put := claim(t, fmt.Sprint("host", rng.IntN(3)), fmt.Sprintf("10.0.%d.0/26", rng.IntN(3)), state, revision)
			e := store.Event{Type: store.Put, KV: put}
			if rng.IntN(2) == 0 {
				e.Type, e.KV.Value = store.Delete, nil
				delete(stored, put.Key)
			} else {
				stored[put.Key] = put
			}
			batch.Events = append(slices.DeleteFunc(batch.Events, func(o store.Event) bool { return o.KV.Key == put.Key }), e)
		}
		b.Apply(batch)
		for _, p := range b.Drain() {
			known[p], _ = b.Of(p)
		}
		fresh := NewBlockOwners()
		for _, kv := range stored {
			fresh.Apply(puts(revision, kv))
		}
		for i := range 3 {
			p := netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/26", i))
			want, _ := fresh.Of(p)
			if got, _ := b.Of(p); got != want || known[p] != want {
				t.Fatalf("revision %d: %s is %q's, %q's to who follows, want %q", revision, p, got, known[p], want)
			}
		}
	}
}
