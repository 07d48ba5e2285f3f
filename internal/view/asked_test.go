package view

import (
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

// TestBlocksAreAsked: what is read between two batches of the watch counts, and
// the watch, which tells it once more, and older things too, takes nothing back.
func TestBlocksAreAsked(t *testing.T) {
	a, c := claim(t, self, "10.0.0.0/26", "confirmed", 5), claim(t, self, "10.0.2.0/26", "confirmed", 2)
	b := NewBlocks(self)
	if !b.Knows(9) || signalled(b.Asked()) {
		t.Error("without a watch somebody waits")
	}
	b.Apply(puts(3, c))
	if !b.Knows(3) || signalled(b.Asked()) {
		t.Error("what the watch has told is asked for")
	}
	signalled(b.Changed())
	if b.Knows(5) || !signalled(b.Asked()) || !b.Asking() {
		t.Error("what it has not told is not asked for")
	}
	b.Take(b.Round(), store.Page{KVs: []store.KV{a}, Revision: 6})
	wantBlocks(t, b, "10.0.0.0/26", "10.0.2.0/26") // what has gone is for the watch to say
	if !b.Knows(6) || b.Asking() || !signalled(b.Changed()) || !signalled(b.CopyChanged()) {
		t.Error("nobody was told the answer")
	}
	b.Apply(deletes(4, a.Key))
	b.Apply(puts(4, claim(t, self, "10.0.0.0/26", "pending", 4)))
	wantBlocks(t, b, "10.0.0.0/26", "10.0.2.0/26")
	b.Apply(puts(5, a))
	b.Apply(deletes(6, c.Key))
	wantBlocks(t, b, "10.0.0.0/26")
	b.Apply(deletes(8, a.Key))
	b.Take(b.Round(), store.Page{KVs: []store.KV{a}, Revision: 7}) // read before it was deleted
	wantBlocks(t, b)

	// Nobody can tell; or another watch runs, of another store perhaps.
	signalled(b.Changed())
	b.Knows(9)
	b.GiveUp(b.Round())
	if !b.Knows(9) || !signalled(b.Changed()) {
		t.Error("what nobody can tell is waited for")
	}
	b.Knows(12)
	asked := b.Round()
	b.Restart()
	if b.Asking() || !b.Knows(12) {
		t.Error("somebody waits while no watch runs")
	}
	b.Apply(puts(2, claim(t, self, "10.0.3.0/26", "confirmed", 1)))
	b.Take(asked, store.Page{KVs: []store.KV{a}, Revision: 12})
	wantBlocks(t, b, "10.0.3.0/26")
	if b.GiveUp(asked); b.Knows(3) {
		t.Error("an answer of before counts")
	}
}
