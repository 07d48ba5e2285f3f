package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxValue is how much one transaction may carry, as etcd's default request
// limit.
const maxValue = 3 << 19

// memoryHistory is how many versions a Memory keeps before it compacts the
// older half by itself.
const memoryHistory = 1 << 16

// Memory is a Store in memory with the semantics of etcd: revisions, history
// and its compaction, leases, conflicts. A Memory is one client of its server;
// Open makes another one of the same server, so that a test can cut off or
// close one host's without the others. Time is that of package time, and
// therefore virtual in testing/synctest; no goroutine outlives a call.
type Memory struct {
	server *memoryServer

	// The rest is guarded by server.mu.
	watches map[*memoryWatch]struct{}
	leases  map[LeaseID]*memoryLease
	away    bool // Disconnect
	closed  bool
}

// memoryServer is what the clients share.
type memoryServer struct {
	mu        sync.Mutex // guards all below and all clients
	mvcc      mvcc
	clients   map[*Memory]struct{}
	leases    map[LeaseID]*memoryLease
	lastLease LeaseID
	full      bool
}

var _ Store = (*Memory)(nil)

// NewMemory returns a client of a new, empty store at revision 1.
func NewMemory() *Memory {
	s := &memoryServer{
		mvcc:    newMVCC(),
		clients: make(map[*Memory]struct{}),
		leases:  make(map[LeaseID]*memoryLease),
	}
	return s.open()
}

// Open returns another client of the same store.
func (m *Memory) Open() *Memory { return m.server.open() }

func (s *memoryServer) open() *Memory {
	m := &Memory{
		server:  s,
		watches: make(map[*memoryWatch]struct{}),
		leases:  make(map[LeaseID]*memoryLease),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[m] = struct{}{}
	return m
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, key string) (KV, int64, error) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if err := m.usableLocked(ctx); err != nil {
		return KV{}, 0, fmt.Errorf("get %s: %w", key, err)
	}
	kv, ok := m.server.mvcc.get(key)
	if !ok {
		return KV{}, m.server.mvcc.revision, fmt.Errorf("get %s: %w", key, ErrNotFound)
	}
	return kv, m.server.mvcc.revision, nil
}

// Read implements Store.
func (m *Memory) Read(ctx context.Context, keys, prefixes []string) (Snapshot, error) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	err := m.usableLocked(ctx)
	if err == nil {
		err = CheckRead(keys, prefixes)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("read %d keys and %d ranges: %w", len(keys), len(prefixes), err)
	}
	all := Snapshot{KVs: make([]KV, len(keys)), Pages: make([]Page, len(prefixes)), Revision: m.server.mvcc.revision}
	for i, key := range keys {
		all.KVs[i].Key = key
		if kv, ok := m.server.mvcc.get(key); ok {
			all.KVs[i] = kv
		}
	}
	for i, prefix := range prefixes {
		if all.Pages[i], err = m.server.mvcc.list(prefix, ListOptions{Limit: ReadLimit}); err != nil {
			return Snapshot{}, fmt.Errorf("read %s: %w", prefix, err)
		}
	}
	return all, nil
}

// List implements Store.
func (m *Memory) List(ctx context.Context, prefix string, opts ListOptions) (Page, error) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if err := m.usableLocked(ctx); err != nil {
		return Page{}, fmt.Errorf("list %s: %w", prefix, err)
	}
	p, err := m.server.mvcc.list(prefix, opts)
	if err != nil {
		return Page{}, fmt.Errorf("list %s: %w", prefix, err)
	}
	return p, nil
}

// Revision implements Store.
func (m *Memory) Revision(ctx context.Context) (int64, error) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if err := m.usableLocked(ctx); err != nil {
		return 0, fmt.Errorf("read revision: %w", err)
	}
	return m.server.mvcc.revision, nil
}

// Txn implements Store.
func (m *Memory) Txn(ctx context.Context, compares []Compare, ops []Op) (int64, error) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	revision, err := m.txnLocked(ctx, compares, ops)
	if err != nil {
		return 0, fmt.Errorf("transaction: %w", err)
	}
	return revision, nil
}

func (m *Memory) txnLocked(ctx context.Context, compares []Compare, ops []Op) (int64, error) {
	s := m.server
	if err := m.usableLocked(ctx); err != nil {
		return 0, err
	}
	if err := CheckTxn(compares, ops); err != nil {
		return 0, err
	}
	size := 0
	for _, op := range ops {
		size += len(op.Key) + len(op.Value)
	}
	if size > maxValue {
		return 0, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	for _, c := range compares {
		have, holds := s.mvcc.compare(c)
		if !holds {
			return 0, &ConflictError{Key: c.Key, Want: c.ModRevision, Have: have}
		}
	}
	for _, op := range ops {
		if s.full && !op.Delete {
			return 0, ErrFull
		}
		if op.Lease != 0 && s.leases[op.Lease] == nil {
			return 0, fmt.Errorf("put %s under lease %x: %w", op.Key, int64(op.Lease), ErrNoLease)
		}
	}
	s.commitLocked(ops)
	return s.mvcc.revision, nil
}

// commitLocked writes ops at the next revision and tells every watch.
func (s *memoryServer) commitLocked(ops []Op) {
	events := s.mvcc.write(ops)
	for _, e := range events {
		for _, l := range s.leases {
			delete(l.keys, e.KV.Key)
		}
	}
	for _, op := range ops {
		if l := s.leases[op.Lease]; l != nil && !op.Delete {
			l.keys[op.Key] = struct{}{}
		}
	}
	if len(events) == 0 {
		return
	}
	for m := range s.clients {
		for w := range m.watches {
			if !m.away {
				w.applyLocked(events, s.mvcc.revision)
			}
		}
	}
}

// Close implements Store. Leases of this client expire when their time is up.
func (m *Memory) Close() error {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	delete(m.server.clients, m)
	for w := range m.watches {
		w.feed.Fail(ErrClosed)
	}
	clear(m.watches)
	for _, l := range m.leases {
		l.expireLaterLocked()
	}
	return nil
}

func (m *Memory) usableLocked(ctx context.Context) error {
	switch {
	case m.closed:
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case m.away:
		return &UnavailableError{Cause: errors.New("client is disconnected"), RetryAfter: time.Second}
	}
	return nil
}
