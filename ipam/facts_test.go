package ipam

import (
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Two blocks of /26 and a limit of two: 256 addresses asked for are 128 and the
// limit.
func TestLimitOfTwoBlocks(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/16/26"))
	r.settings.env.Config = Config{StrictAffinity: true, MaxBlocksPerHost: 2}
	got := r.allocate(ask("host1", "h", 256))
	wantShort(t, got, 128, ErrBlockLimit)
	if e := got.Short[0]; e.Wanted != 256 || e.Got != 128 || e.Limit != 2 || e.Blocks != 2 {
		t.Errorf("short: %+v", e)
	}
	r.consistent()
}

// The limit of the request counts as well, and without one it is 20.
func TestLimitOfRequest(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/16/26"))
	req := ask("host1", "h", 256)
	req.MaxBlocks = 2
	wantShort(t, r.allocate(req), 128, ErrBlockLimit)
	wantShort(t, r.allocate(ask("host2", "i", 1300)), 1280, ErrBlockLimit)
	r.consistent()
}

func TestMoreThanThePool(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	got := r.allocate(ask("host1", "h", 257))
	wantShort(t, got, 256, ErrPoolsExhausted)
	first, last := false, false
	for _, a := range got.Allocations {
		first = first || a.Address.String() == "10.0.0.0"
		last = last || a.Address.String() == "10.0.0.255"
	}
	if !first || !last {
		t.Errorf("first address %v, last address %v: both are usable", first, last)
	}
	r.consistent()
}

func TestOneBlockWithStrictAffinity(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/26/26"))
	r.settings.env.Config.StrictAffinity = true
	wantShort(t, r.allocate(ask("host1", "h", 65)), 64, ErrStrictAffinity)
	wantShort(t, r.allocate(ask("host2", "i", 1)), 0, ErrStrictAffinity)
	r.consistent()
}

// Two hosts on two blocks, each with one address: 64 more for the first are 63
// of its own and one borrowed.
func TestBorrowsTheLast(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/25/26"))
	r.one(ask("host1", "h1", 1))
	r.one(ask("host2", "h2", 1))
	got := r.allocate(ask("host1", "more", 64))
	wantShort(t, got, 64, nil)
	if n := borrowed(got.Allocations); n != 1 {
		t.Errorf("%d borrowed, wanted 1", n)
	}
	r.consistent()
}

func TestIPv6BlocksBehaveTheSame(t *testing.T) {
	r := newRig(t, pool("a=fd00::/121/122"))
	six := func(node, handle string, n int) Request {
		req := ask(node, handle, 0)
		req.IPv6 = n
		return req
	}
	r.one(six("host1", "h1", 1))
	r.one(six("host2", "h2", 1))
	got := r.allocate(six("host1", "more", 64))
	wantShort(t, got, 64, nil)
	if n := borrowed(got.Allocations); n != 1 {
		t.Errorf("%d borrowed, wanted 1", n)
	}
	wantShort(t, r.allocate(six("host3", "rest", 64)), 62, ErrPoolsExhausted)
	r.consistent()
}

// Freed addresses go to the end: the longest idle comes first.
func TestLongestIdleFirst(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/30/30"))
	a := r.one(ask("host1", "a", 1))
	r.one(ask("host1", "b", 1))
	if _, err := r.ReleaseHandle(t.Context(), "host1", "a"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the two that were never used
		if b := r.one(ask("host1", "c", 1)); b.Address == a.Address {
			t.Errorf("%s is given out again before its turn", b.Address)
		}
	}
	if b := r.one(ask("host1", "d", 1)); b.Address != a.Address {
		t.Errorf("%s, wanted %s", b.Address, a.Address)
	}
	r.consistent()
}

func TestCooldown(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/32/32"))
	r.settings.env.Config.Cooldown = 10 * time.Minute
	r.one(ask("host1", "a", 1))
	if _, err := r.ReleaseHandle(t.Context(), "host1", "a"); err != nil {
		t.Fatal(err)
	}
	r.pass(10*time.Minute - time.Second)
	got := r.allocate(ask("host1", "b", 1))
	wantShort(t, got, 0, ErrPoolsExhausted)
	if got.Short[0].Reserved != 1 {
		t.Errorf("%d addresses are told as held back, wanted 1", got.Short[0].Reserved)
	}
	wantShort(t, r.allocate(ask("host2", "b", 1)), 0, ErrPoolsExhausted)
	r.pass(time.Second)
	r.one(ask("host1", "b", 1))
	r.consistent()
}

// An empty block of another host is taken over when it is a minute old.
func TestReclaim(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/26/26"))
	r.settings.env.Config.StrictAffinity = true
	r.one(ask("host1", "a", 1))
	if _, err := r.ReleaseHandle(t.Context(), "host1", "a"); err != nil {
		t.Fatal(err)
	}
	r.pass(59 * time.Second)
	wantShort(t, r.allocate(ask("host2", "b", 1)), 0, ErrStrictAffinity)
	r.pass(time.Second)
	if got := r.one(ask("host2", "b", 1)); got.Borrowed {
		t.Errorf("%s is borrowed", got.Address)
	}
	wantShort(t, r.allocate(ask("host1", "c", 1)), 0, ErrStrictAffinity)
	r.consistent()
}

// A clock that was years ahead when an address was released, or a block claimed,
// and is right again, takes nothing out of use.
func TestClockThatWasWrong(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/32/32"))
	r.settings.env.Config = Config{StrictAffinity: true, Cooldown: time.Minute}
	const wrong = 10 * 365 * 24 * time.Hour
	r.pass(wrong)
	r.one(ask("host1", "a", 1))
	if _, err := r.ReleaseHandle(t.Context(), "host1", "a"); err != nil {
		t.Fatal(err)
	}
	r.pass(-wrong)
	if b := r.one(ask("host2", "b", 1)); b.Borrowed {
		t.Errorf("got %+v", b)
	}
	r.consistent()
}

// Clocks of hosts that differ by a little do not end a cooldown early.
func TestCooldownOfAnotherClock(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/32/32"))
	r.settings.env.Config.Cooldown = time.Minute
	r.one(ask("host1", "a", 1))
	r.pass(5 * time.Minute)
	if _, err := r.ReleaseHandle(t.Context(), "host1", "a"); err != nil {
		t.Fatal(err)
	}
	r.pass(-5 * time.Minute)
	wantShort(t, r.allocate(ask("host1", "b", 1)), 0, ErrPoolsExhausted)
	r.pass(6 * time.Minute)
	r.one(ask("host1", "b", 1))
}

// Of two limits of blocks the smaller one counts.
func TestSmallerLimit(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/16/26"))
	r.settings.env.Config = Config{StrictAffinity: true, MaxBlocksPerHost: 2}
	for node, want := range map[string]struct{ limit, addresses int }{"host1": {1, 64}, "host2": {5, 128}} {
		req := ask(node, node, 256)
		req.MaxBlocks = want.limit
		wantShort(t, r.allocate(req), want.addresses, ErrBlockLimit)
	}
	r.consistent()
}

// A cooldown outlives the affinity of the block, whoever asks.
func TestCooldownOfADrainedBlock(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/32/32"))
	r.settings.env.Config.Cooldown = time.Minute
	a := r.one(ask("host1", "a", 1))
	if err := r.do(func(s *Step) error { return s.ReleaseBlock("host1", a.Block, Drain) }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReleaseHandle(t.Context(), "host1", "a"); err != nil {
		t.Fatal(err)
	}
	wantShort(t, r.allocate(ask("host2", "b", 1)), 0, ErrPoolsExhausted)
	r.pass(time.Minute)
	r.one(ask("host2", "b", 1))
	r.consistent()
}

// In a store that was filled from another, sequence numbers begin above those of
// the other.
func TestSequenceAboveTheBase(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	r.write(store.SequenceKey, text("5000"))
	if a := r.one(ask("host1", "a", 1)); a.Sequence <= 5000 {
		t.Errorf("sequence number %d", a.Sequence)
	}
}
