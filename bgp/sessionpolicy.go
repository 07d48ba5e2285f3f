package bgp

import (
	"slices"
	"time"
)

// NextHopMode says which next hop a peer is told.
type NextHopMode uint8

// The modes. Auto is that of the protocol: our address for what is ours and
// towards external peers, else the next hop as it came.
const (
	NextHopAuto NextHopMode = iota
	NextHopSelf
	NextHopKeep // also towards external peers; what is ours has no other than our address
)

// Policy is what a session lets through. It is not changed once handed over;
// another one is applied to the living session, where what it changes is sent,
// withdrawn or told, and nothing else.
type Policy struct {
	Filters []*Filter // in order; the first rule that matches decides
	Options
}

// Options of a Policy.
type Options struct {
	// AllowOwnAS is how often our AS may stand in the AS_PATH of what the peer
	// tells.
	AllowOwnAS int
	// AnyFirstAS leaves out the check that what an external peer tells begins
	// with its own AS (RFC 4271 §6.3).
	AnyFirstAS bool
	NextHop    NextHopMode
	MaxPrefix  MaxPrefix
	// Blackhole honours BLACKHOLE (RFC 7999) in what the peer tells: the
	// route is told with Discard set, and not sent on.
	Blackhole bool
	// ReflectForeign sends on what lies outside the pools without a filter
	// having to say so.
	ReflectForeign bool
	// GracefulShutdown sends all with GRACEFUL_SHUTDOWN, and LOCAL_PREF 0
	// towards internal peers (RFC 8326): the node is drained.
	GracefulShutdown bool
}

// MaxPrefix bounds the prefixes that a peer may tell.
type MaxPrefix struct {
	Limit   int // of each family, refused ones count; zero: none
	Warning int // percent of Limit from which on a warning is logged; zero: 75
	// Restart is after how long a session that was closed for it is opened
	// again; zero: not before it is changed. WarnOnly: it is not closed.
	Restart  time.Duration
	WarnOnly bool
}

// Equal reports whether p and o let the same through. Filters are the same if
// they are the same objects.
func (p *Policy) Equal(o *Policy) bool {
	if p == nil {
		p = &Policy{}
	}
	if o == nil {
		o = &Policy{}
	}
	return p.Options == o.Options && slices.Equal(p.Filters, o.Filters)
}
