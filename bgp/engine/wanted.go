package engine

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// wanted is the sessions that are wanted, with what cannot be had left out.
type wanted struct {
	peers  map[netip.AddrPort]bgp.Session // without ranges
	order  []netip.AddrPort               // in which they came
	addrs  map[netip.Addr]bool            // of peers
	ranges []bgp.Session                  // the longest first
	keys   map[netip.Prefix]bgp.Password  // of those who connect from there
}

// normalise is what SetSessions is asked for; the error joins what is wrong
// with single sessions.
func (e *Engine) normalise(list []bgp.Session) (*wanted, error) {
	w := &wanted{
		peers: make(map[netip.AddrPort]bgp.Session, len(list)), addrs: make(map[netip.Addr]bool),
		keys: make(map[netip.Prefix]bgp.Password),
	}
	var errs []error
	for _, s := range list {
		if s.LocalAS == 0 {
			s.LocalAS = e.settings.ASN
		}
		err := s.Check()
		if err == nil {
			err = w.add(s)
		}
		errs = append(errs, err)
	}
	slices.SortFunc(w.ranges, func(a, b bgp.Session) int { return cmp.Compare(b.Range.Bits(), a.Range.Bits()) })
	return w, errors.Join(errs...)
}

// add adds s, which is sound by itself.
func (w *wanted) add(s bgp.Session) error {
	who := s.Range
	if !who.IsValid() {
		who = netip.PrefixFrom(s.Peer.WithZone(""), s.Peer.BitLen())
	}
	if key, ok := w.keys[who]; ok && key != s.Password {
		return fmt.Errorf("session %s: another session with %s has another password", s, who)
	}
	if s.Range.IsValid() {
		for _, r := range w.ranges {
			if r.Range == s.Range {
				return fmt.Errorf("session %s: session %s has the same range", s, r)
			}
		}
		w.ranges = append(w.ranges, s)
	} else {
		if other, twice := w.peers[s.Endpoint()]; twice {
			return fmt.Errorf("session %s: session %s has the same endpoint", s, other)
		}
		w.peers[s.Endpoint()], w.addrs[s.Peer] = s, true
		w.order = append(w.order, s.Endpoint())
	}
	w.keys[who] = s.Password
	return nil
}

// session is what p is to be; false: it is not wanted.
func (w *wanted) session(p *peer) (bgp.Session, bool) {
	if !p.within.IsValid() {
		s, ok := w.peers[p.endpoint()]
		return s, ok
	}
	if w.addrs[p.want.Peer] {
		return bgp.Session{}, false
	}
	r, ok := rangeOf(w.ranges, p.want.Peer)
	if !ok {
		return bgp.Session{}, false
	}
	p.within = r.Range
	return memberOf(r, p.want.Peer), true
}

// setKeys gives the listeners the TCP MD5 keys of peers, and takes others
// away. Connections that exist keep theirs. The caller holds Engine.apply.
func (e *Engine) setKeys(keys map[netip.Prefix]bgp.Password) error {
	all := make(map[netip.Prefix]bgp.Password)
	for p := range e.keys {
		all[p] = ""
	}
	for p, key := range keys {
		all[p] = key
	}
	e.keys = make(map[netip.Prefix]bgp.Password)
	var errs []error
	for p, key := range all {
		for _, l := range e.listeners {
			if bgp.FamilyOf(l.Addr().Addr()) == bgp.FamilyOf(p.Addr()) {
				errs = append(errs, l.SetKey(p, key))
			}
		}
		if key != "" {
			e.keys[p] = key
		}
	}
	return errors.Join(errs...)
}
