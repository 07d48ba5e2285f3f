package reflectorbench

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

// table is what a client holds, one bit a route, and what it thinks of the
// updates it gets. The first routes of all clients, by slot, are followed by
// their MED, which the scenarios use as a version.
type table struct {
	plan    Plan
	self    int  // number of the client
	relaxed bool // no reflection attributes are expected

	clients, routes numbering
	wire            update

	held    []uint64 // by index of the route
	present int      // routes held
	echoes  int      // own routes that came back; a client ignores them (RFC 4456 §8)
	bytes   int64    // of updates taken

	slots   []uint32 // MED of the routes that are followed
	version uint32   // from which on fresh counts
	fresh   int      // slots with that version or a later one

	// strays are routes that are held and of none of the clients, as they are
	// on the wire; nil: there must be none.
	strays map[string]bool

	follow  *journal // of the updates whose way is timed; nil: none
	latency []time.Duration
}

// journal holds when each of a run of updates was sent. The MED of update n is
// first+n.
type journal struct {
	start time.Time
	first uint32
	sent  []atomic.Int64 // nanoseconds after start
}

func newTable(p Plan, self, slots int, relaxed bool) *table {
	return &table{
		plan: p, self: self, relaxed: relaxed,
		clients: p.clientNumbers(), routes: p.routeNumbers(),
		held: make([]uint64, (p.total()+63)/64), slots: make([]uint32, slots),
	}
}

// take applies an UPDATE that came at now. An error is a target that does not
// reflect as it should.
func (t *table) take(body []byte, now time.Time) error {
	t.bytes += int64(headerLen + len(body))
	u := &t.wire
	if err := u.parse(body); err != nil {
		return err
	}
	for _, nlri := range u.withdrawn {
		if err := t.withdraw(nlri); err != nil {
			return err
		}
	}
	if len(u.announced[0]) == 0 && len(u.announced[1]) == 0 {
		return nil
	}
	owner := t.clients.number(u.nextHop)
	if t.strays != nil && !t.original(u, owner) {
		return t.hide(u)
	}
	if owner < 0 {
		return fmt.Errorf("a route with the next hop %x, which is no client", u.nextHop)
	}
	if err := t.attributes(u, owner); err != nil {
		return fmt.Errorf("a route of client %d: %w", owner, err)
	}
	med := uint32(noMED)
	if len(u.med) == 4 {
		med = binary.BigEndian.Uint32(u.med)
	}
	for _, nlri := range u.announced {
		if err := t.announce(nlri, owner, med, now); err != nil {
			return err
		}
	}
	return nil
}

// attributes checks that they are as they were sent, and what a reflector adds
// (RFC 4456 §8): who announced the route, and once its cluster.
func (t *table) attributes(u *update, owner int) error {
	switch {
	case len(u.origin) != 1 || u.origin[0] != 0:
		return fmt.Errorf("ORIGIN is %x", u.origin)
	case u.asPath == nil || len(u.asPath) != 0:
		return fmt.Errorf("AS_PATH is %x", u.asPath)
	case len(u.localPref) != 4 || binary.BigEndian.Uint32(u.localPref) != localPref:
		return fmt.Errorf("LOCAL_PREF is %x", u.localPref)
	case t.relaxed:
		return nil
	case len(u.originatorID) != 4 || binary.BigEndian.Uint32(u.originatorID) != firstRouterID+uint32(owner):
		return fmt.Errorf("ORIGINATOR_ID is %x", u.originatorID)
	case len(u.clusterList) != 4 || binary.BigEndian.Uint32(u.clusterList) != clusterID:
		return fmt.Errorf("CLUSTER_LIST is %x", u.clusterList)
	}
	return nil
}

// original reports whether an update is of the client that it seems to be of,
// by its next hop, and not of one whose messages are garbage.
func (t *table) original(u *update, owner int) bool {
	return owner >= 0 && len(u.originatorID) == 4 && binary.BigEndian.Uint32(u.originatorID) == firstRouterID+uint32(owner)
}

// hide takes in paths that are of none of the clients: the target may prefer
// one to what a client has announced, which is not held then.
func (t *table) hide(u *update) error {
	for _, nlri := range u.announced {
		if err := t.withdraw(nlri); err != nil {
			return err
		}
		for len(nlri) > 0 {
			_, _, rest, _ := cutPrefix(nlri) // as withdraw found it
			if _, _, err := t.cut(nlri); err != nil {
				t.strays[string(nlri[:len(nlri)-len(rest)])] = true
			}
			nlri = rest
		}
	}
	return nil
}

func (t *table) announce(nlri []byte, owner int, med uint32, now time.Time) error {
	low := owner * t.plan.Routes
	for len(nlri) > 0 {
		index, rest, err := t.cut(nlri)
		if err != nil {
			return err
		}
		nlri = rest
		number := index - low // within those of the owner
		if uint(number) >= uint(t.plan.Routes) {
			return fmt.Errorf("route %s with the next hop of client %d", t.plan.prefix(index), owner)
		}
		if owner == t.self {
			t.echoes++
			continue
		}
		if word, bit := index/64, uint64(1)<<(index%64); t.held[word]&bit == 0 {
			t.held[word] |= bit
			t.present++
		}
		if slot := number*t.plan.Clients + owner; slot < len(t.slots) {
			t.record(slot, med)
		}
		if t.follow != nil && med-t.follow.first < uint32(len(t.follow.sent)) {
			t.latency = append(t.latency, now.Sub(t.follow.start)-time.Duration(t.follow.sent[med-t.follow.first].Load()))
		}
	}
	return nil
}

func (t *table) record(slot int, med uint32) {
	if t.slots[slot] >= t.version {
		t.fresh--
	}
	t.slots[slot] = med
	if med >= t.version {
		t.fresh++
	}
}

// count makes fresh count the slots of versions that were never sent yet.
func (t *table) count(version uint32) { t.version, t.fresh = version, 0 }

func (t *table) withdraw(nlri []byte) error {
	for len(nlri) > 0 {
		index, rest, err := t.cut(nlri)
		if err != nil && t.strays != nil {
			_, _, after, ok := cutPrefix(nlri)
			if !ok {
				return err
			}
			delete(t.strays, string(nlri[:len(nlri)-len(after)]))
			nlri = after
			continue
		}
		if err != nil {
			return err
		}
		nlri = rest
		if word, bit := index/64, uint64(1)<<(index%64); t.held[word]&bit != 0 {
			t.held[word] &^= bit
			t.present--
		}
	}
	return nil
}

// cut splits the first route off an NLRI field.
func (t *table) cut(nlri []byte) (index int, rest []byte, err error) {
	length, addr, rest, ok := cutPrefix(nlri)
	if !ok {
		return 0, nil, fmt.Errorf("%w: routes are cut short", errUpdate)
	}
	if length == 8*len(addr) {
		if index = t.routes.number(addr); index >= 0 {
			return index, rest, nil
		}
	}
	return 0, nil, fmt.Errorf("route %x/%d, which nobody announced", addr, length)
}

// nobody is the number of no client.
const nobody = -1

// wanted is how many routes the table must hold while the client dead is gone.
func (t *table) wanted(dead int) int {
	n := t.plan.Clients
	if t.self < t.plan.Clients {
		n--
	}
	if dead != nobody && dead != t.self {
		n--
	}
	return n * t.plan.Routes
}

// verify compares with what the table must hold, route by route.
func (t *table) verify(dead int) error {
	missing, extra, first := 0, 0, -1
	for word, held := range t.held {
		want := t.expected(word, dead)
		if held == want {
			continue
		}
		if first < 0 {
			first = 64*word + bits.TrailingZeros64(held^want)
		}
		missing += bits.OnesCount64(want &^ held)
		extra += bits.OnesCount64(held &^ want)
	}
	if first < 0 {
		return nil
	}
	return fmt.Errorf("client %d: %d routes are missing and %d should be gone, the first is %s of client %d",
		t.self, missing, extra, t.plan.prefix(first), first/t.plan.Routes)
}

// expected is what a word of held must be.
func (t *table) expected(word, dead int) uint64 {
	want := ^uint64(0)
	if over := 64*(word+1) - t.plan.total(); over > 0 {
		want >>= over
	}
	for _, c := range []int{t.self, dead} {
		if c == nobody || c >= t.plan.Clients {
			continue
		}
		from, to := max(c*t.plan.Routes-64*word, 0), min((c+1)*t.plan.Routes-64*word, 64)
		if from < to {
			want &^= (^uint64(0) >> (64 - (to - from))) << from
		}
	}
	return want
}

// current reports whether the first routes have these versions, by slot; own
// ones aside.
func (t *table) current(versions []uint32) bool {
	for slot, v := range versions {
		if t.slots[slot] != v && slot%t.plan.Clients != t.self {
			return false
		}
	}
	return true
}
