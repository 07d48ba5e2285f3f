package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// memoryLease is a lease of a Memory. While its client is connected it needs no
// renewal and no timer; its time runs from the moment the client goes away.
type memoryLease struct {
	client *Memory
	id     LeaseID
	ttl    time.Duration
	lost   chan struct{}

	// The rest is guarded by the server's mutex.
	keys  map[string]struct{}
	timer *time.Timer // nil while kept alive
	gone  bool
}

// Grant implements Store.
func (m *Memory) Grant(ctx context.Context, ttl time.Duration) (Lease, error) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if err := m.usableLocked(ctx); err != nil {
		return nil, fmt.Errorf("grant lease: %w", err)
	}
	m.server.lastLease++
	l := &memoryLease{
		client: m,
		id:     m.server.lastLease,
		ttl:    max(ttl, time.Second),
		lost:   make(chan struct{}),
		keys:   make(map[string]struct{}),
	}
	m.leases[l.id], m.server.leases[l.id] = l, l
	return l, nil
}

// ID implements Lease.
func (l *memoryLease) ID() LeaseID { return l.id }

// Lost implements Lease.
func (l *memoryLease) Lost() <-chan struct{} { return l.lost }

// Revoke implements Lease.
func (l *memoryLease) Revoke(ctx context.Context) error {
	l.client.server.mu.Lock()
	defer l.client.server.mu.Unlock()
	if l.gone {
		return nil
	}
	if err := l.client.usableLocked(ctx); err != nil {
		return fmt.Errorf("revoke lease %x: %w", int64(l.id), err)
	}
	l.expireLocked()
	return nil
}

// expireLocked ends the lease and deletes its keys.
func (l *memoryLease) expireLocked() {
	if l.gone {
		return
	}
	var ops []Op
	for key := range l.keys {
		ops = append(ops, Op{Key: key, Delete: true})
	}
	slices.SortFunc(ops, func(a, b Op) int { return strings.Compare(a.Key, b.Key) })
	l.goneLocked()
	l.client.server.commitLocked(ops)
}

// goneLocked ends the lease without touching keys.
func (l *memoryLease) goneLocked() {
	if l.gone {
		return
	}
	l.gone = true
	l.keepLocked()
	delete(l.client.leases, l.id)
	delete(l.client.server.leases, l.id)
	close(l.lost)
}

// expireLaterLocked starts the lease's time.
func (l *memoryLease) expireLaterLocked() {
	if l.timer != nil || l.gone {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(l.ttl, func() {
		l.client.server.mu.Lock()
		defer l.client.server.mu.Unlock()
		if l.timer == timer { // not kept alive again meanwhile
			l.expireLocked()
		}
	})
	l.timer = timer
}

// keepLocked stops the lease's time.
func (l *memoryLease) keepLocked() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}
