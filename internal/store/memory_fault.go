package store

import "errors"

// Disconnect cuts this client off: its calls fail with ErrUnavailable, its
// watches fall silent and its leases run out.
func (m *Memory) Disconnect() {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if m.away || m.closed {
		return
	}
	m.away = true
	for _, l := range m.leases {
		l.expireLaterLocked()
	}
}

// Reconnect ends a Disconnect: watches go on, leases that have not run out are
// kept alive again.
func (m *Memory) Reconnect() {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if !m.away || m.closed {
		return
	}
	m.away = false
	for _, l := range m.leases {
		l.keepLocked()
	}
	for w := range m.watches {
		w.resumeLocked()
	}
}

// Compact forgets the history before a revision.
func (m *Memory) Compact(revision int64) error {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	s := &m.server.mvcc
	if revision <= s.compacted || revision > s.revision {
		return errors.New("compact: revision is compacted already or in the future")
	}
	s.compact(revision)
	return nil
}

// SetFull makes the store refuse puts with ErrFull, or accept them again.
func (m *Memory) SetFull(full bool) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.server.full = full
}

// Wipe swaps the store for an empty one at revision 1, as when a server's data
// directory is lost; every client reconnects to it.
func (m *Memory) Wipe() {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.server.swapLocked(newMVCC())
}

// Backup is the state of a Memory at one moment.
type Backup struct{ mvcc mvcc }

// Backup returns the state of the store, for Restore.
func (m *Memory) Backup() *Backup {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	return &Backup{m.server.mvcc.clone()}
}

// Restore puts the store back to a former state, its revision included, as when
// a backup of a server is restored; every client reconnects to it.
func (m *Memory) Restore(b *Backup) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.server.swapLocked(b.mvcc.clone())
}

func (s *memoryServer) swapLocked(to mvcc) {
	s.mvcc = to
	for _, l := range s.leases {
		l.goneLocked()
	}
	for c := range s.clients {
		for w := range c.watches {
			if !c.away {
				w.resumeLocked()
			}
		}
	}
}
