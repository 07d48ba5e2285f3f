// Package storetest is the conformance suite of the Store port. It runs over
// the memory store and over etcd, and holds no expectation that only one of
// them meets: what a driver cannot suffer (a cut connection, a restart) is left
// out by saying so.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Patience is how long the suite waits for what must happen.
const Patience = 60 * time.Second

// Server is a datastore that a test may use and harm. Each test has its own.
type Server struct {
	// Open returns a client; the suite closes it.
	Open func(t *testing.T) Client
	// Compact forgets the history before a revision.
	Compact func(t *testing.T, revision int64)
	// Restart stops the server and starts it with the same data; nil unless
	// Can.Restart.
	Restart func(t *testing.T)
	// Wipe swaps the server for an empty one; nil unless Can.Wipe.
	Wipe func(t *testing.T)
}

// Client is a client of a Server.
type Client struct {
	store.Store
	// Cut loses the connection, and Mend lets it come back; nil unless Can.Cut.
	Cut, Mend func()
	// Received returns how many changes watches have received from the server;
	// nil: writing does not return before they have.
	Received func() uint64
}

// Can says what a test may do to a Server and its clients.
type Can struct{ Cut, Restart, Wipe bool }

// Run runs the suite, each test on a server of its own.
func Run(t *testing.T, can Can, start func(*testing.T) *Server) {
	for _, c := range []struct {
		name  string
		test  func(*fixture)
		needs Can
	}{
		{"get", testGet, Can{}},
		{"read", testRead, Can{}},
		{"read pages", testReadPages, Can{}},
		{"list", testList, Can{}},
		{"list compacted", testListCompacted, Can{}},
		{"transaction", testTxn, Can{}},
		{"transaction below", testTxnBelow, Can{}},
		{"transaction that looks", testTxnLooks, Can{}},
		{"transaction limits", testTxnLimits, Can{}},
		{"parallel writers", testParallelWriters, Can{}},
		{"too large", testTooLarge, Can{}},
		{"cancelled call", testCancelled, Can{}},
		{"close", testClose, Can{}},
		{"unavailable", testUnavailable, Can{Cut: true}},
		{"lease revoked", testLeaseRevoked, Can{}},
		{"lease expires", testLeaseExpires, Can{}},
		{"watch", testWatch, Can{}},
		{"watch several prefixes", testWatchPrefixes, Can{}},
		{"watch refuses overlaps", testWatchOverlap, Can{}},
		{"watch after", testWatchAfter, Can{}},
		{"watch next cancelled", testWatchNextCancelled, Can{}},
		{"watch large snapshot", testWatchLarge, Can{}},
		{"watch slow consumer", testWatchSlow, Can{}},
		{"watch compacted during snapshot", testWatchSnapshotCompacted, Can{}},
		{"watch cut", testWatchCut, Can{Cut: true}},
		{"watch cut and compacted", testWatchCutCompacted, Can{Cut: true}},
		{"watch forgetful", testWatchForget, Can{Cut: true}},
		{"watch restart", testWatchRestart, Can{Restart: true}},
		{"watch wiped", testWatchWiped, Can{Wipe: true}},
		{"watch wrong identity", testWatchIdentity, Can{}},
		{"identity", testIdentity, Can{}},
	} {
		if c.needs.Cut && !can.Cut || c.needs.Restart && !can.Restart || c.needs.Wipe && !can.Wipe {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			ctx, cancel := context.WithTimeout(t.Context(), Patience)
			t.Cleanup(cancel)
			c.test(&fixture{T: t, server: s, client: open(t, s), ctx: ctx})
		})
	}
}

func open(t *testing.T, s *Server) Client {
	c := s.Open(t)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// fixture is a test with its server and one client.
type fixture struct {
	*testing.T
	server *Server
	client Client
	ctx    context.Context // bounds the test
}

// put writes keys, all in one transaction, each with its own name as value.
func (f *fixture) put(keys ...string) int64 {
	f.Helper()
	ops := make([]store.Op, len(keys))
	for i, key := range keys {
		ops[i] = store.Op{Key: key, Value: []byte(key)}
	}
	return f.txn(ops...)
}

func (f *fixture) delete(keys ...string) int64 {
	f.Helper()
	ops := make([]store.Op, len(keys))
	for i, key := range keys {
		ops[i] = store.Op{Key: key, Delete: true}
	}
	return f.txn(ops...)
}

func (f *fixture) txn(ops ...store.Op) int64 {
	f.Helper()
	revision, err := f.client.Txn(f.ctx, nil, ops)
	if err != nil {
		f.Fatal(err)
	}
	return revision
}
