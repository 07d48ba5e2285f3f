package policy

import (
	"net/netip"
	"sync"
)

// inForce is what the kernel enforces, kept in memory while somebody is to be
// told what it no longer allows.
type inForce struct {
	news chan struct{}

	mu     sync.Mutex // guards the rest
	state  *State     // nil: not kept
	owners map[netip.Addr]*Endpoint
}

// misses tells whether an update asks for keeping what was not kept so far.
func (k *inForce) misses(u *Update) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return u.Settings != nil && u.Settings.CutDenied && k.state == nil
}

// take keeps an update that is in force. Full: it is everything.
func (k *inForce) take(u *Update, full bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case u.Settings != nil && !u.Settings.CutDenied, !full && k.state == nil:
		k.state, k.owners = nil, nil
		return nil
	case full:
		k.state, k.owners = &State{}, nil
	}
	if err := k.state.Apply(u); err != nil {
		k.state, k.owners = nil, nil
		return err
	}
	if full || len(u.Endpoints) > 0 {
		k.own()
	}
	select {
	case k.news <- struct{}{}:
	default:
	}
	return nil
}

// own notes whose addresses are. One of several endpoints is nobody's: which
// interface its packets come by cannot be told.
func (k *inForce) own() {
	k.owners = make(map[netip.Addr]*Endpoint, len(k.state.Endpoints))
	for _, e := range k.state.Endpoints {
		for _, a := range e.Addresses {
			if _, twice := k.owners[a]; twice {
				k.owners[a] = nil
			} else {
				k.owners[a] = e
			}
		}
	}
}

// Connection is a connection of the host as its first packet would be judged
// now: with its translated destination, and its own source.
type Connection struct {
	Packet
	// FromHost and ToHost: the host itself is that end.
	FromHost, ToHost bool
}

// Denied signals, while [Settings.CutDenied] holds, that Denies may tell of
// other connections than before.
func (t *Table) Denied() <-chan struct{} { return t.inForce.news }

// Denies tells whether the policy in force of the workload at either end of a
// connection would not let it begin. Policy of host endpoints is not asked: by
// which interface a connection of the host came cannot be told.
func (t *Table) Denies(c Connection) bool {
	k := &t.inForce
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state == nil {
		return false
	}
	if from := k.owners[c.Source]; from != nil && !k.state.sends(from, c) {
		return true
	}
	to := k.owners[c.Destination]
	return to != nil && !c.FromHost && !k.state.allows(to.Ingress, c.Packet)
}

// sends tells whether an endpoint may begin a connection.
func (s *State) sends(e *Endpoint, c Connection) bool {
	if c.ToHost && (c.IsNeighbour() || s.Settings.Serves(c.Packet)) {
		return true
	}
	return s.allows(e.Egress, c.Packet) && (!c.ToHost || s.Settings.ToHost != Deny)
}

func (s *State) allows(pipeline string, p Packet) bool {
	d, err := s.Decide(pipeline, p)
	return err == nil && d.Action == Allow
}
