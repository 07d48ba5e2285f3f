package bmptest

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Station is a monitoring station. What it holds is of the present connection.
type Station struct {
	mu        sync.Mutex // guards the rest
	connected int        // connections so far
	began     bool       // Initiation was heard
	ended     bool       // Termination was heard
	peers     map[netip.Addr]*heard
	downs     []Message
	reports   []Message
	err       error // first fault
}

// heard is what is known of a peer.
type heard struct {
	up        Message
	options   wire.Options
	tables    [2]map[string]string // prefix and path id → attributes; before and after policy
	endOfRIBs [2]bgp.Families
}

// Serve takes what comes over conn until it ends.
func (s *Station) Serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	if _, err := r.Peek(1); err != nil {
		return // it was given up before anything was said
	}
	s.mu.Lock()
	s.connected++
	s.began, s.ended, s.peers = false, false, make(map[netip.Addr]*heard)
	s.mu.Unlock()
	for {
		if _, err := r.Peek(1); err != nil {
			return
		}
		m, err := Read(r)
		s.mu.Lock()
		if err == nil {
			err = s.take(m)
		}
		if err != nil && s.err == nil {
			s.err = err
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take folds one message in.
func (s *Station) take(m *Message) error {
	switch {
	case m.Type == Initiation:
		if s.began || m.Info[1] == "" || m.Info[2] == "" {
			return fmt.Errorf("initiation %v", m.Info)
		}
		s.began = true
		return nil
	case !s.began || s.ended:
		return fmt.Errorf("message of type %d before initiation or after termination", m.Type)
	case m.Type == Termination:
		s.ended = true
		return nil
	case m.Peer.Reserved || m.At.IsZero():
		return fmt.Errorf("per-peer header %+v", m.Peer)
	}
	p := s.peers[m.Peer.Address]
	if (p == nil) != (m.Type == PeerUp) {
		return fmt.Errorf("message of type %d of %s, up %t", m.Type, m.Peer.Address, p != nil)
	}
	switch m.Type {
	case PeerUp:
		return s.peerUp(m)
	case PeerDown:
		delete(s.peers, m.Peer.Address)
		s.downs = append(s.downs, *m)
	case Statistics:
		s.reports = append(s.reports, *m)
	case RouteMonitoring:
		return p.route(m)
	}
	return nil
}

func (s *Station) peerUp(m *Message) error {
	var opens [2]wire.Open
	for i, b := range [][]byte{m.SentOpen, m.Received} {
		var err error
		if opens[i], err = wire.ParseOpen(b[wire.HeaderLen:]); err != nil {
			return fmt.Errorf("OPEN of %s: %w", m.Peer.Address, err)
		}
	}
	if opens[1].AS != m.Peer.AS || opens[1].RouterID != m.Peer.ID {
		return fmt.Errorf("peer up of %+v, but its OPEN has AS %d and id %s", m.Peer, opens[1].AS, opens[1].RouterID)
	}
	n, err := wire.Negotiate(opens[0], opens[1], false)
	if err != nil {
		return fmt.Errorf("OPENs of %s: %w", m.Peer.Address, err)
	}
	s.peers[m.Peer.Address] = &heard{
		up: *m, options: n.Options(), tables: [2]map[string]string{make(map[string]string), make(map[string]string)},
	}
	return nil
}

// route folds an UPDATE in.
func (h *heard) route(m *Message) error {
	table := 0
	if m.Peer.Post {
		table = 1
	}
	o := h.options
	o.FourByteAS = !m.Peer.ShortAS
	var u wire.Update
	if v := u.Parse(m.Update[wire.HeaderLen:], o); v.Action != wire.OK {
		return fmt.Errorf("UPDATE of %s: %s", m.Peer.Address, v)
	}
	h.endOfRIBs[table] = h.endOfRIBs[table].With(u.EndOfRIB)
	for _, n := range u.Withdrawn {
		for prefix, id := range n.All() {
			delete(h.tables[table], key(prefix, id))
		}
	}
	for _, a := range u.Announced {
		attrs, err := wire.ParseAttributes(a.Attributes)
		if err != nil {
			return fmt.Errorf("attributes of %s: %w", m.Peer.Address, err)
		}
		text := fmt.Sprintf("via %s path %v pref %d med %d", attrs.NextHop.Addr, attrs.ASPath.Flat(), attrs.LocalPref, attrs.MED)
		for prefix, id := range a.NLRI.All() {
			h.tables[table][key(prefix, id)] = text
		}
	}
	return nil
}

func key(p netip.Prefix, id uint32) string { return fmt.Sprintf("%s#%d", p, id) }

// Err is the first fault that was seen.
func (s *Station) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Connections is how many there were.
func (s *Station) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected
}

// Ended reports whether Termination came.
func (s *Station) Ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Up is the Peer Up of a peer; nil: it is not up.
func (s *Station) Up(peer netip.Addr) *Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.peers[peer]; h != nil {
		return &h.up
	}
	return nil
}

// Table is what a peer told, a line for each path, in order; "down" when it is
// not up, and "…" at the end until each of its families had its End-of-RIB.
func (s *Station) Table(peer netip.Addr, post bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.peers[peer]
	if h == nil {
		return "down"
	}
	table := 0
	if post {
		table = 1
	}
	var lines []string
	for prefix, attributes := range h.tables[table] {
		lines = append(lines, prefix+" "+attributes)
	}
	slices.Sort(lines)
	if h.endOfRIBs[table] != h.options.Families {
		lines = append(lines, "…")
	}
	return strings.Join(lines, "\n")
}

// Downs are the Peer Downs, in order.
func (s *Station) Downs() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.downs)
}

// Reports are the Statistics Reports, in order.
func (s *Station) Reports() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reports)
}
