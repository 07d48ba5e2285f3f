package bgp

import (
	"iter"
	"net/netip"
)

// Retiring is a session that is no longer wanted, and kept until nobody relies
// on it: then nothing is lost when it ends.
type Retiring struct {
	Session  Session
	Up       bool // Established
	Released bool // the other end has said that it can do without
}

// Reliance is what would be missed if a retiring session ended.
type Reliance struct {
	// Prefixes that its peer gave and that nobody else gives, over a session
	// that stays.
	Prefixes int
	// Through is how many other sessions carry them on, where we reflect.
	Through int
}

// None reports whether nothing would be missed. A node that forwards misses
// prefixes itself; one that only reflects does not.
func (r Reliance) None(forwards bool) bool {
	return r.Through == 0 && (r.Prefixes == 0 || !forwards)
}

// Rely says of each retiring session what would be missed, by the paths of the
// RIB in the order of Speaker.Routes. What another session gives counts only
// when that one stays, and when the path may be used and is not a stale one: an
// End-of-RIB proves neither. A reflector relies on it also for those to whom it
// passes on what a peer gave, unless they have said that they can do without.
func Rely(retiring []Retiring, wanted []Session, rib iter.Seq[Entry]) []Reliance {
	out := make([]Reliance, len(retiring))
	byPeer := make(map[netip.Addr][]int)
	for i, r := range retiring {
		byPeer[r.Session.Peer] = append(byPeer[r.Session.Peer], i)
	}
	var prefix netip.Prefix
	var gave []int
	covered := false
	settle := func() {
		for _, i := range gave {
			if !covered {
				out[i].Prefixes++
			}
		}
		gave, covered = gave[:0], false
	}
	for e := range rib {
		if e.Prefix != prefix {
			settle()
			prefix = e.Prefix
		}
		switch from, retires := byPeer[e.Peer]; {
		case e.Own:
			covered = true
		case e.Refused != "":
		case retires:
			gave = append(gave, from...)
		default:
			covered = covered || !e.Stale && !e.Unreachable
		}
	}
	settle()
	for i := range out {
		if out[i].Prefixes > 0 {
			out[i].Through = through(retiring, i, wanted)
		}
	}
	return out
}

// through counts the sessions that the paths of retiring[i] go to.
func through(retiring []Retiring, i int, wanted []Session) int {
	from, n := retiring[i].Session, 0
	for _, to := range wanted {
		if !to.Shutdown && (ExportPolicy{}).Reflects(from, to) {
			n++
		}
	}
	for j, to := range retiring {
		if j != i && to.Up && !to.Released && (ExportPolicy{}).Reflects(from, to.Session) {
			n++
		}
	}
	return n
}
