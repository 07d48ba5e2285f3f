package policy

import (
	"net/netip"
	"sync"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Resolver folds resources into what one host has to enforce. It does no I/O.
// What it tells is a function of what it holds, whatever way that came: Put and
// Delete may be repeated, and come in any order.
//
// Putting an object asks the selectors that can have to do with it, and changes
// the members of sets. What follows from that for policies, pipelines and
// endpoints is worked out when it is asked for, so that many changes cost one
// answer.
type Resolver struct {
	node    string
	isLocal func(*resource.WorkloadEndpoint) bool
	changed chan struct{}

	mu sync.Mutex // guards the rest

	// Of the whole cluster: what selectors of rules choose among.
	items map[resource.ID]*item
	peers *index
	held  holders

	// Of this host: what policies choose among.
	locals     map[resource.ID]*local
	endpoints  *index
	interfaces map[nodeInterface][]*local // workload endpoints
	left       left
	host       Host

	tiers     map[string]*resource.Tier
	policies  map[resource.ID]*policyEntry // and profiles
	services  map[resource.ServiceRef]*resource.Service
	sets      map[SetID]*liveSet
	pipelines map[string]*pipelineEntry
	closed    *pipelines // nil before they are needed
	general   general

	dirty dirty
	told  told

	// Of the endpoint that is being put, to be used again for the next one.
	labels  map[string]string
	parents []resource.ID
}

// Host is what the resolver has to know of the host itself.
type Host struct {
	// Interfaces are those with their addresses: for host endpoints that are
	// known by an address.
	Interfaces map[string][]netip.Addr
}

// nodeInterface is an interface of a host.
type nodeInterface struct{ node, name string }

// NewResolver returns the resolver of a node. Without a name all endpoints are
// local, whatever their node is: for explaining without a host. Host endpoints
// are then told as NODE/INTERFACE, those without an interface as NODE/ADDRESS.
func NewResolver(node string) *Resolver {
	return newResolver(node, func(w *resource.WorkloadEndpoint) bool { return node == "" || w.Node == node })
}

// NewResolverOf returns the resolver without a node of those workload endpoints
// that isLocal tells; the others are but members of sets.
func NewResolverOf(isLocal func(*resource.WorkloadEndpoint) bool) *Resolver {
	return newResolver("", isLocal)
}

func newResolver(node string, isLocal func(*resource.WorkloadEndpoint) bool) *Resolver {
	r := &Resolver{
		node: node, isLocal: isLocal, changed: make(chan struct{}, 1),
		items: make(map[resource.ID]*item), held: newHolders(),
		locals: make(map[resource.ID]*local), interfaces: make(map[nodeInterface][]*local), left: newLeft(),
		tiers: make(map[string]*resource.Tier), policies: make(map[resource.ID]*policyEntry),
		services: make(map[resource.ServiceRef]*resource.Service),
		sets:     make(map[SetID]*liveSet), pipelines: make(map[string]*pipelineEntry),
		general: newGeneral(), dirty: newDirty(), told: newTold(), labels: make(map[string]string),
	}
	r.peers = newIndex(r.peerMovedLocked)
	r.endpoints = newIndex(r.localMovedLocked)
	for id, kind := range fixedSets() {
		r.sets[id] = &liveSet{id: id, kind: kind, origin: string(id), fixed: true}
	}
	for _, obj := range builtIn() {
		r.putLocked(obj)
	}
	return r
}

// Changed is signalled when Drain has something to tell.
func (r *Resolver) Changed() <-chan struct{} { return r.changed }

// Put says that an object is now this one. Kinds that do not matter to policy
// are ignored.
func (r *Resolver) Put(obj resource.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.putLocked(obj)
	r.signal()
}

// Delete says that there is no such object. What is built in stays.
func (r *Resolver) Delete(id resource.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deleteLocked(id)
	r.signal()
}

// Take puts and deletes objects, nil ones, as one change: no Drain sees some of
// them without the others.
func (r *Resolver) Take(objects map[resource.ID]resource.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, obj := range objects {
		if obj == nil {
			r.deleteLocked(id)
		} else {
			r.putLocked(obj)
		}
	}
	r.signal()
}

// SetHost says which interfaces and addresses this host has.
func (r *Resolver) SetHost(h Host) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host, r.dirty.hosts = h, true
	r.signal()
}

// SetDefaults says what the settings are where no resource says otherwise, in
// place of DefaultSettings.
func (r *Resolver) SetDefaults(s Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.general.defaults, r.dirty.general = s, true
	r.signal()
}

func (r *Resolver) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
