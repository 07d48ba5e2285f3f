package reconcile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newTestDelta() *Delta[string, int] {
	return NewDelta[string](func(a, b int) bool { return a == b })
}

// apply writes everything pending into world, which refuses the keys in bad.
func apply(d *Delta[string, int], world map[string]int, bad map[string]bool) {
	for _, c := range d.Pending(1 << 20) {
		if bad[c.Key] {
			continue
		}
		if c.IsWanted {
			world[c.Key] = c.Wanted
		} else {
			delete(world, c.Key)
		}
		d.Applied(c)
	}
}

func read(d *Delta[string, int], world map[string]int) {
	d.BeginRead()
	for k, v := range world {
		d.Seen(k, v)
	}
	d.EndRead(true)
}

func TestDeltaWalk(t *testing.T) {
	states := []map[string]int{
		{}, {"a": 1}, {"a": 2}, {"a": 1, "b": 1}, {"b": 2, "c": 3}, {"c": 3, "d": 4, "e": 5},
	}
	world := map[string]int{"foreign": 9}
	d := newTestDelta()
	rng := rand.New(rand.NewPCG(1, 2))
	var now map[string]int
	for step := range 500 {
		switch rng.IntN(5) {
		case 0: // a restart forgets everything
			d = newTestDelta()
			for k, v := range now {
				d.Want(k, v)
			}
		case 1: // somebody interferes, and we learn of it
			delete(world, "a")
			d.Unobserve("a")
			world["c"] = 99
			d.Observe("c", 99)
		case 2: // somebody interferes behind our back
			world["b"] = 77
			delete(world, "e")
		}
		next := states[rng.IntN(len(states))]
		for k := range now {
			if _, ok := next[k]; !ok {
				d.Unwant(k)
			}
		}
		for k, v := range next {
			d.Want(k, v)
		}
		now = next
		read(d, world)
		apply(d, world, nil)
		if diff := cmp.Diff(maps.Collect(maps.All(next)), world); diff != "" {
			t.Fatalf("step %d (-want +got):\n%s", step, diff)
		}
		if d.Queued() && len(d.Pending(10)) != 0 {
			t.Fatalf("step %d: something is pending although all is equal", step)
		}
		if d.Len() != len(next) {
			t.Fatalf("step %d: remembers %d keys of %d", step, d.Len(), len(next))
		}
	}
}

func TestDeltaBadKeyStaysPending(t *testing.T) {
	d, world := newTestDelta(), map[string]int{}
	d.Want("bad", 1)
	d.Want("good", 1)
	apply(d, world, map[string]bool{"bad": true})
	if diff := cmp.Diff(map[string]int{"good": 1}, world); diff != "" {
		t.Fatal(diff)
	}
	if got := d.Pending(10); len(got) != 0 {
		t.Fatalf("a failed key is handed out again without a reason: %v", got)
	}
	d.Requeue("bad")
	if got := d.Pending(10); len(got) != 1 {
		t.Fatalf("after Requeue: %v", got)
	}
	read(d, world)
	apply(d, world, nil)
	if world["bad"] != 1 {
		t.Fatal("a read-back does not bring a failed key back")
	}
}

func TestDeltaNewsDuringReadStands(t *testing.T) {
	d, world := newTestDelta(), map[string]int{}
	d.Want("gone", 1)
	d.Want("changed", 1)
	apply(d, world, nil)
	d.BeginRead()
	d.Unobserve("gone")
	d.Observe("changed", 2)
	d.Observe("new", 5)
	d.Seen("gone", 1) // older than the news
	d.Seen("changed", 1)
	d.EndRead(true)
	if _, ok := d.Observed("gone"); ok {
		t.Error("an old read hides a removal")
	}
	if v, _ := d.Observed("changed"); v != 2 {
		t.Error("an old read hides a change")
	}
	if _, ok := d.Observed("new"); !ok {
		t.Error("the sweep of a read removes what arrived meanwhile")
	}
}

func TestDeltaNewsDuringWrite(t *testing.T) {
	d := newTestDelta()
	d.Want("a", 1)
	d.Want("b", 1)
	p := d.Pending(10)
	d.Unobserve("a") // somebody removes it just before or just after our write
	d.Want("b", 2)   // wanted moves on
	if d.Applied(p[0]) {
		t.Error("a write is believed although there was news")
	}
	if !d.Applied(p[1]) {
		t.Error("a write is not believed")
	}
	if v, _ := d.Observed("b"); v != 1 {
		t.Errorf("observed b = %d, want what was written", v)
	}
	var got []string
	for _, c := range d.Pending(10) {
		got = append(got, fmt.Sprint(c.Key, c.Wanted))
	}
	if diff := cmp.Diff([]string{"a1", "b2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeltaIncompleteReadRemovesNothing(t *testing.T) {
	d := newTestDelta()
	d.Observe("a", 1)
	d.BeginRead()
	d.EndRead(false)
	if _, ok := d.Observed("a"); !ok {
		t.Error("forgot a key because a read was cut short")
	}
}

func TestDeltaMoved(t *testing.T) {
	d := newTestDelta()
	refs := map[int]int{}
	d.Moved = func(_ string, old int, was bool, now int, is bool) {
		if was {
			refs[old]--
		}
		if is {
			refs[now]++
		}
	}
	world := map[string]int{"x": 1, "y": 1, "z": 2}
	read(d, world)
	d.Want("x", 2)
	d.Want("y", 1)
	apply(d, world, nil)
	d.Observe("y", 3)
	d.Unobserve("y")
	if refs[1] != 0 || refs[2] != 1 || refs[3] != 0 {
		t.Errorf("references %v", refs)
	}
}

func BenchmarkDelta100k(b *testing.B) {
	d := NewDelta[int](func(a, b int) bool { return a == b })
	for i := range 100_000 {
		d.Want(i, 1)
	}
	for _, c := range d.Pending(1 << 20) {
		d.Applied(c)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d.Want(i%100_000, i)
		for _, c := range d.Pending(1000) {
			d.Applied(c)
		}
	}
}

// What is unwanted while it is being written is there afterwards, and to be
// removed, or replaced if it is wanted again.
func TestDeltaUnwantedDuringWrite(t *testing.T) {
	d := newTestDelta()
	d.Want("a", 1)
	d.Want("b", 1)
	d.Want("c", 1)
	pending := d.Pending(3)
	d.Unwant("a")
	d.Unwant("b")
	d.Unwant("c")
	d.Want("b", 2)
	for _, c := range pending[:2] {
		if !d.Applied(c) {
			t.Errorf("%s is said to be in doubt", c.Key)
		}
	}
	got := make(map[string]Change[string, int])
	for _, c := range d.Pending(9) {
		c.item = nil
		got[c.Key] = c
	}
	want := map[string]Change[string, int]{
		"a": {Key: "a", Observed: 1, WasObserved: true},
		"b": {Key: "b", Wanted: 2, IsWanted: true, Observed: 1, WasObserved: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Change[string, int]{})); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if n := d.Len(); n != 2 { // c was refused, and nobody wants it
		t.Errorf("%d keys are known, want 2", n)
	}
}
