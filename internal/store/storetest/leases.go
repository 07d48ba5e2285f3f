package storetest

import (
	"errors"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

func (f *fixture) grant(c Client) store.Lease {
	f.Helper()
	l, err := c.Grant(f.ctx, time.Second)
	if err != nil {
		f.Fatal(err)
	}
	return l
}

func (f *fixture) lost(l store.Lease) {
	f.Helper()
	select {
	case <-l.Lost():
	case <-f.ctx.Done():
		f.Fatal("lease not told as lost")
	}
}

func testLeaseRevoked(f *fixture) {
	l := f.grant(f.client)
	f.txn(store.Op{Key: "live/a", Lease: l.ID()}, store.Op{Key: "live/b", Lease: l.ID()},
		store.Op{Key: "live/c", Lease: l.ID()})
	f.txn(store.Op{Key: "live/b"}) // takes it off the lease
	m := f.mirror(f.client, store.WatchOptions{Prefixes: []string{"live/"}})
	m.until(1)
	for range 2 {
		if err := l.Revoke(f.ctx); err != nil {
			f.Fatal(err)
		}
	}
	f.lost(l)
	m.untilTold("live/a", false)
	m.untilTold("live/c", false)
	if _, _, err := f.client.Get(f.ctx, "live/b"); err != nil {
		f.Fatalf("key taken off its lease: %v", err)
	}
	_, err := f.client.Txn(f.ctx, nil, []store.Op{{Key: "live/d", Lease: l.ID()}})
	if !errors.Is(err, store.ErrNoLease) {
		f.Fatalf("put under a lease that is gone: %v", err)
	}
}

// testLeaseExpires has one host die: its store is closed without revoking, and
// another one's watch tells that the key is gone.
func testLeaseExpires(f *fixture) {
	host := f.server.Open(f.T)
	l := f.grant(host)
	if _, err := host.Txn(f.ctx, nil, []store.Op{{Key: "live/host", Lease: l.ID()}}); err != nil {
		f.Fatal(err)
	}
	kept := f.grant(f.client)
	f.txn(store.Op{Key: "live/kept", Lease: kept.ID()})
	m := f.mirror(f.client, store.WatchOptions{Prefixes: []string{"live/"}})
	m.until(1)
	if m.told["live/host"] != 1 || m.told["live/kept"] != 1 {
		f.Fatalf("told %v", m.told)
	}
	if err := host.Close(); err != nil {
		f.Fatal(err)
	}
	f.lost(l)
	m.untilTold("live/host", false)
	if _, _, err := f.client.Get(f.ctx, "live/kept"); err != nil {
		f.Fatalf("a lease kept alive: %v", err)
	}
	select {
	case <-kept.Lost():
		f.Fatal("a lease kept alive was told as lost")
	default:
	}
}
