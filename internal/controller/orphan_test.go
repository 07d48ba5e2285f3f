package controller

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/ipam"
)

// TestOrphansAreFreed: the address of an endpoint that was removed in the store
// itself is free again, with what its handle holds, and no other is.
func TestOrphansAreFreed(t *testing.T) {
	b := &bench{t, store.NewMemory()}
	b.pool()
	b.node("n1", "a")
	for _, name := range []string{"kept", "removed"} {
		b.write(store.Op{Key: endpoint(name).Key, Value: []byte{}})
		b.write(store.Op{Key: store.AddressKey(b.take("n1", name, endpoint(name))), Value: []byte(endpoint(name).Key)})
	}
	outside, foreign := store.AddressKey(netip.MustParseAddr("192.0.2.9")), store.AddressKey(netip.MustParseAddr("192.0.2.10"))
	b.write(store.Op{Key: endpoint("removed").Key, Delete: true})
	b.write(store.Op{Key: outside, Value: []byte(endpoint("never").Key)})
	b.write(store.Op{Key: foreign, Value: []byte("of a newer version")})
	b.collecting()
	b.until(func() (string, bool) {
		got := b.holders()
		return got, got == `"host:n1"[kept]`
	})
	b.until(func() (string, bool) {
		_, _, err := b.store.Get(t.Context(), outside)
		return "the address outside of pools", errors.Is(err, store.ErrNotFound)
	})
	if _, _, err := b.store.Get(t.Context(), foreign); err != nil {
		t.Errorf("what a newer version knows: %v", err)
	}
}

// TestOrphanIsLookedAtAgain: an endpoint that is registered again in time keeps
// its address, whenever that is.
func TestOrphanIsLookedAtAgain(t *testing.T) {
	const key = "r/WorkloadEndpoint/default/e"
	a := netip.MustParseAddr("192.0.2.9")
	for name, back := range map[string]time.Duration{"before the grace is over": time.Minute, "after it": time.Hour} {
		t.Run(name, func(t *testing.T) {
			b := &bench{t, store.NewMemory()}
			b.write(store.Op{Key: store.AddressKey(a), Value: []byte(key)})
			c := New(Options{Name: "c", Store: b.store, Health: telemetry.NewHealth(Conditions()...), Logger: hclog.NewNullLogger()})
			c.sweep.Grace = 5 * time.Minute
			start := time.Now()
			round := func(after time.Duration) {
				t.Helper()
				w, err := ipam.ReadWorld(t.Context(), b.store, ipam.Stored{Store: b.store})
				if err != nil {
					t.Fatal(err)
				}
				w.Env.Now = start.Add(after)
				if err := c.orphans(t.Context(), fence(b.store, &term{key: "leader"}), w); err != nil {
					t.Fatal(err)
				}
			}
			round(0)
			if len(c.sweep.orphans) != 1 {
				t.Fatalf("not seen: %v", c.sweep.orphans)
			}
			b.write(store.Op{Key: key, Value: []byte{}})
			round(back)
			if _, _, err := b.store.Get(t.Context(), store.AddressKey(a)); err != nil || len(c.sweep.orphans) != 0 {
				t.Errorf("the endpoint is back: %v, %v", err, c.sweep.orphans)
			}
			if err := c.freeOrphan(t.Context(), fence(b.store, &term{key: "leader"}), a, key); err != nil {
				t.Fatal(err)
			}
			if _, _, err := b.store.Get(t.Context(), store.AddressKey(a)); err != nil {
				t.Errorf("freed of an endpoint that is there: %v", err)
			}
		})
	}
}
