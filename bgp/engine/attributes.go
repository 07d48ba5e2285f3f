package engine

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// attributeSet is one distinct set of path attributes.
type attributeSet struct {
	raw   []byte   // canonical; see wire
	path  bgp.Path // as far as the attributes say
	hop   *hop     // to its next hop; nil: at no cost
	refs  int32
	scope scope
	otc   uint32 // ONLY_TO_CUSTOMER (RFC 9234 §5); zero: none
	// Which communities it has: LLGR_STALE, NO_LLGR, GRACEFUL_SHUTDOWN, BLACKHOLE.
	old, mortal, shutdown, blackhole bool

	changes []change // that it came from or led to
}

// scope is how far communities let a path go.
type scope uint8

const (
	anywhere scope = iota
	withinAS
	nowhere
)

// attributeStore holds each set once.
type attributeStore struct {
	sets  []attributeSet // the first is none
	byRaw map[string]setID
	free  []setID
	hops  hops
	// changed is what operations make of sets, so that each is worked out once.
	// It holds no references: it is forgotten with either set.
	changed map[change]setID
}

func newAttributeStore() attributeStore {
	return attributeStore{sets: make([]attributeSet, 1), byRaw: make(map[string]setID), changed: make(map[change]setID)}
}

// intern is the set of raw, with a reference for the caller. The error is of
// wire.ParseAttributes.
func (s *attributeStore) intern(raw []byte) (setID, error) {
	if id, ok := s.byRaw[string(raw)]; ok {
		s.sets[id].refs++
		return id, nil
	}
	attrs, err := wire.ParseAttributes(raw)
	if err != nil {
		return 0, err
	}
	set := attributeSet{
		raw: bytes.Clone(raw), path: attrs.Path(netip.Prefix{}), refs: 1, scope: scopeOf(attrs.Communities),
		hop: s.hops.use(attrs.NextHop.Addr), otc: attrs.OnlyToCustomer,
		old:       slices.Contains(attrs.Communities, bgp.LongLivedStale),
		mortal:    slices.Contains(attrs.Communities, bgp.NoLongLived),
		shutdown:  slices.Contains(attrs.Communities, bgp.GracefulShutdown),
		blackhole: slices.Contains(attrs.Communities, bgp.Blackhole),
	}
	var id setID
	if n := len(s.free); n > 0 {
		id, s.free = s.free[n-1], s.free[:n-1]
		s.sets[id] = set
	} else {
		id = setID(len(s.sets))
		s.sets = append(s.sets, set)
	}
	s.byRaw[string(raw)] = id
	return id, nil
}

func (s *attributeStore) retain(id setID) { s.sets[id].refs++ }

// release gives a reference back; the set goes with the last one.
func (s *attributeStore) release(id setID) {
	if id == 0 {
		return
	}
	set := &s.sets[id]
	if set.refs--; set.refs > 0 {
		return
	}
	delete(s.byRaw, string(set.raw))
	s.hops.leave(set.hop)
	for _, c := range set.changes {
		delete(s.changed, c)
	}
	*set = attributeSet{}
	s.free = append(s.free, id)
}

func scopeOf(list []bgp.Community) scope {
	s := anywhere
	for _, c := range list {
		switch c {
		case bgp.NoAdvertise:
			return nowhere
		case bgp.NoExport, bgp.NoExportSubconfed:
			s = withinAS
		}
	}
	return s
}
