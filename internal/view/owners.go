package view

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// Owners says which node each address of an endpoint is on, of all nodes and
// not of the view's own alone. It keeps no name and no object, but about a
// hundred bytes an endpoint; a reflector has all of them.
//
// An address is held by one endpoint. While two seem to have one, because the
// delete of the first is told after the second, the one told last counts.
type Owners struct {
	changed chan struct{}

	mu        sync.RWMutex // guards the rest
	nodes     []string     // by their index, for ever: a node costs its name
	indexes   map[string]uint32
	endpoints map[endpointHash]endpointRecord
	more      map[endpointHash][]netip.Addr // beyond one of each family
	v4        map[[4]byte]holder
	v6        map[[16]byte]holder
	round     uint8 // of the snapshot that is told, or was told last
	dirty     map[netip.Addr]struct{}
	all       bool // too many are dirty to be named
}

// endpointHash stands for the key of an endpoint, cryptographic because whoever
// registers endpoints chooses their names.
type endpointHash [16]byte

// endpointRecord is what must be undone when an endpoint goes. A zero address
// is none.
type endpointRecord struct {
	v4    [4]byte
	v6    [16]byte
	node  uint32
	round uint8
}

// holder of an address: the node, and a part of the endpoint's hash that tells
// whether an endpoint still has what it had.
type holder struct{ node, endpoint uint32 }

// dirtyLimit is how many addresses are told one by one. A snapshot changes
// more, and is better judged as a whole.
const dirtyLimit = 4096

func newOwners() *Owners {
	return &Owners{
		changed:   make(chan struct{}, 1),
		indexes:   make(map[string]uint32),
		endpoints: make(map[endpointHash]endpointRecord),
		more:      make(map[endpointHash][]netip.Addr),
		v4:        make(map[[4]byte]holder),
		v6:        make(map[[16]byte]holder),
		dirty:     make(map[netip.Addr]struct{}),
	}
}

// Of returns the node that an address is on, and false when no endpoint has it.
func (o *Owners) Of(a netip.Addr) (node string, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	h, ok := o.holderLocked(a)
	if !ok {
		return "", false
	}
	return o.nodes[h.node], true
}

// Len returns how many endpoints are known.
func (o *Owners) Len() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.endpoints)
}

// Changed signals that Drain has news.
func (o *Owners) Changed() <-chan struct{} { return o.changed }

// Drain returns the addresses that came, went or moved since it was last
// called; all means that there were too many to name.
func (o *Owners) Drain() (addresses []netip.Addr, all bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all = o.all
	o.all = false
	for a := range o.dirty {
		addresses = append(addresses, a)
	}
	clear(o.dirty)
	return addresses, all
}

// tell signals once a batch was folded in.
func (o *Owners) tell() {
	o.mu.RLock()
	news := o.all || len(o.dirty) > 0
	o.mu.RUnlock()
	if news {
		signal(o.changed)
	}
}

// put says what an endpoint has now.
func (o *Owners) put(key string, ep *resource.WorkloadEndpoint) {
	id := hashOf(key)
	o.mu.Lock()
	defer o.mu.Unlock()
	old, more := o.endpoints[id], o.more[id]
	next := endpointRecord{node: o.indexLocked(ep.Node), round: o.round}
	var rest []netip.Addr
	for _, a := range ep.Addresses {
		switch a = a.Unmap(); {
		case a.Is4() && next.v4 == [4]byte{}:
			next.v4 = a.As4()
		case a.Is6() && next.v6 == [16]byte{}:
			next.v6 = a.As16()
		default:
			rest = append(rest, a)
		}
	}
	o.endpoints[id] = next
	delete(o.more, id)
	if len(rest) > 0 {
		o.more[id] = rest
	}
	h := holder{next.node, tag(id)}
	for _, a := range next.addresses(rest) {
		o.holdLocked(a, h)
	}
	for _, a := range old.addresses(more) {
		if now, ok := o.holderLocked(a); ok && now.endpoint == h.endpoint && !next.has(a, rest) {
			o.releaseLocked(a)
		}
	}
}

// confirm says that a key is still there, as it was.
func (o *Owners) confirm(key string) {
	if !isEndpoint(key) {
		return
	}
	id := hashOf(key)
	o.mu.Lock()
	defer o.mu.Unlock()
	if r, ok := o.endpoints[id]; ok {
		r.round = o.round
		o.endpoints[id] = r
	}
}

// delete says that a key is gone.
func (o *Owners) delete(key string) {
	if !isEndpoint(key) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.deleteLocked(hashOf(key))
}

// restart says that a snapshot follows.
func (o *Owners) restart() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.round++
}

// sweep forgets what the snapshot has not told.
func (o *Owners) sweep() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, r := range o.endpoints {
		if r.round != o.round {
			o.deleteLocked(id)
		}
	}
}

func (o *Owners) deleteLocked(id endpointHash) {
	old := o.endpoints[id]
	for _, a := range old.addresses(o.more[id]) {
		if now, ok := o.holderLocked(a); ok && now.endpoint == tag(id) {
			o.releaseLocked(a)
		}
	}
	delete(o.endpoints, id)
	delete(o.more, id)
}

func (o *Owners) holderLocked(a netip.Addr) (h holder, ok bool) {
	if a = a.Unmap(); a.Is4() {
		h, ok = o.v4[a.As4()]
	} else if a.IsValid() {
		h, ok = o.v6[a.As16()]
	}
	return h, ok
}

func (o *Owners) holdLocked(a netip.Addr, h holder) {
	if was, ok := o.holderLocked(a); !ok || was.node != h.node {
		o.touchLocked(a)
	}
	if a.Is4() {
		o.v4[a.As4()] = h
	} else {
		o.v6[a.As16()] = h
	}
}

func (o *Owners) releaseLocked(a netip.Addr) {
	if a.Is4() {
		delete(o.v4, a.As4())
	} else {
		delete(o.v6, a.As16())
	}
	o.touchLocked(a)
}

func (o *Owners) touchLocked(a netip.Addr) {
	if o.all {
		return
	}
	o.dirty[a] = struct{}{}
	if len(o.dirty) > dirtyLimit {
		o.all = true
		o.dirty = make(map[netip.Addr]struct{}) // a map keeps the room that it once had
	}
}

func (o *Owners) indexLocked(node string) uint32 {
	i, ok := o.indexes[node]
	if !ok {
		i = uint32(len(o.nodes))
		o.nodes = append(o.nodes, node)
		o.indexes[node] = i
	}
	return i
}

// addresses of r, with those that have no place in it.
func (r endpointRecord) addresses(more []netip.Addr) []netip.Addr {
	all := make([]netip.Addr, 0, 2+len(more))
	if r.v4 != [4]byte{} {
		all = append(all, netip.AddrFrom4(r.v4))
	}
	if r.v6 != [16]byte{} {
		all = append(all, netip.AddrFrom16(r.v6))
	}
	return append(all, more...)
}

func (r endpointRecord) has(a netip.Addr, more []netip.Addr) bool {
	for _, own := range r.addresses(more) {
		if own == a {
			return true
		}
	}
	return false
}

func isEndpoint(key string) bool {
	return strings.HasPrefix(key, store.KindPrefix(string(resource.KindWorkloadEndpoint)))
}

func hashOf(key string) endpointHash {
	sum := sha256.Sum256([]byte(key))
	return endpointHash(sum[:16])
}

func tag(id endpointHash) uint32 { return binary.NativeEndian.Uint32(id[:]) }
