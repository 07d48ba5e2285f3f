// Package storetest is the conformance suite of the Store port. It runs over
// the memory store and over etcd, and holds no expectation that only one of
// them meets: what a driver cannot suffer (a cut connection, a restart) is left
// out by leaving the function nil.
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
	// Restart stops the server and starts it with the same data.
	Restart func(t *testing.T)
	// Wipe swaps the server for an empty one.
	Wipe func(t *testing.T)
}

// Client is a client of a Server.
type Client struct {
	store.Store
	// Cut loses the connection, and Mend lets it come back.
	Cut, Mend func()
	// Received returns how many changes watches have received from the server;
	// nil: writing does not return before they have.
	Received func() uint64
}

// Run runs the suite.
func Run(t *testing.T, start func(*testing.T) *Server) {
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"get", testGet},
		{"list", testList},
		{"list compacted", testListCompacted},
		{"transaction", testTxn},
		{"transaction limits", testTxnLimits},
		{"parallel writers", testParallelWriters},
		{"too large", testTooLarge},
		{"cancelled call", testCancelled},
		{"close", testClose},
		{"unavailable", testUnavailable},
		{"lease revoked", testLeaseRevoked},
		{"lease expires", testLeaseExpires},
		{"watch", testWatch},
		{"watch several prefixes", testWatchPrefixes},
		{"watch refuses overlaps", testWatchOverlap},
		{"watch after", testWatchAfter},
		{"watch next cancelled", testWatchNextCancelled},
		{"watch large snapshot", testWatchLarge},
		{"watch slow consumer", testWatchSlow},
		{"watch compacted during snapshot", testWatchSnapshotCompacted},
		{"watch cut", testWatchCut},
		{"watch cut and compacted", testWatchCutCompacted},
		{"watch forgetful", testWatchForget},
		{"watch restart", testWatchRestart},
		{"watch wiped", testWatchWiped},
		{"watch wrong identity", testWatchIdentity},
		{"identity", testIdentity},
	} {
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

// need skips the test where the server or client cannot do something.
func (f *fixture) need(can bool, what string) {
	f.Helper()
	if !can {
		f.Skipf("this driver has no %s", what)
	}
}
