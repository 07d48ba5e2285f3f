package server

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// overtaken is a store on which somebody else is faster: what stands in next
// happens between the reads of a write and its transaction, once.
type overtaken struct {
	store.Store
	next func()
}

func (o *overtaken) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	if _, called := peer.FromContext(ctx); !called {
		return o.Store.Txn(ctx, compares, ops) // a reserve, kept after a call
	}
	if next := o.next; next != nil {
		o.next = nil
		next()
	}
	return o.Store.Txn(ctx, compares, ops)
}

// race is a write that is overtaken.
type race struct {
	name     string
	before   func(*rig)       // how it was
	overtake func(*rig)       // what happens meanwhile
	try      func(*rig) error // what is tried
	code     codes.Code
}

// A write whose ground has changed under it is judged again on what is there
// now.
func TestLostRaces(t *testing.T) {
	for _, c := range append(endpointRaces(), objectRaces()...) {
		t.Run(c.name, func(t *testing.T) {
			var o *overtaken
			r := newRig(t, func(opts *Options) {
				o = &overtaken{Store: opts.Store}
				opts.Store = o
			})
			// By another daemon: here the endpoints of a node wait for each other.
			other := newRig(t, func(opts *Options) { opts.Store = r.store })
			other.store = r.store
			c.before(r)
			o.next = func() { c.overtake(other) }
			wantCode(t, c.try(r), c.code)
			if o.next != nil {
				t.Error("nobody overtook")
			}
			r.consistent()
		})
	}
}

func endpointRaces() []race {
	nothing := func(*rig) {}
	on := func(node string, req *vrouterv1.RegisterRequest) *vrouterv1.RegisterRequest {
		req.Node = node
		return req
	}
	tryRemoval := func(r *rig) error {
		_, err := r.endpoints.Unregister(r.t.Context(), &vrouterv1.UnregisterRequest{Id: endpointOf("a")})
		return err
	}
	removal := func(r *rig) {
		if err := tryRemoval(r); err != nil {
			r.t.Error(err)
		}
	}
	register := func(req *vrouterv1.RegisterRequest) func(*rig) {
		return func(r *rig) { r.register(req) }
	}
	try := func(req *vrouterv1.RegisterRequest) func(*rig) error {
		return func(r *rig) error {
			_, err := r.endpoints.Register(r.t.Context(), req)
			return err
		}
	}
	a1, a2 := registration("a", "10.0.0.1"), registration("a", "10.0.0.2")
	moved := on("host2", registration("a", "10.0.0.1"))
	return []race{
		{"create, created elsewhere", nothing, register(on("host2", registration("a", "10.0.0.2"))), try(a1), codes.OK},
		{"create, the same created", nothing, register(a1), try(a1), codes.OK},
		{"create, address taken", nothing, register(registration("b", "10.0.0.1")), try(a1), codes.AlreadyExists},
		{"move, removed", register(a1), removal, try(moved), codes.OK},
		{"move, moved elsewhere", register(a1), register(on("host3", registration("a", "10.0.0.3", "10.0.0.1"))),
			try(moved), codes.OK},
		{"give up an address, given up and taken", register(registration("a", "10.0.0.1", "10.0.0.2")),
			func(r *rig) {
				r.register(a2)
				r.register(registration("b", "10.0.0.1"))
			}, try(registration("a", "10.0.0.3")), codes.OK},
		{"release a handle, an endpoint takes its address over", func(r *rig) { r.assign("10.0.0.1", "x") },
			func(r *rig) {
				req := registration("a", "10.0.0.1")
				req.HeldBy = []string{"x"}
				r.register(req)
			}, func(r *rig) error {
				_, err := r.addresses.ReleaseByHandle(r.t.Context(), &vrouterv1.ReleaseByHandleRequest{Handle: "x"})
				return err
			}, codes.FailedPrecondition},
		{"remove, changed", register(a1), register(a2), tryRemoval, codes.OK},
	}
}

func objectRaces() []race {
	locked := func(r *rig) {
		r.put(&vrouterv1.ClusterInformation{
			Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
			Spec:     &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(false)}})
	}
	node1 := func(r *rig) { r.put(node("n", "192.0.2.1/24")) }
	node2 := func(r *rig) { r.put(node("n", "192.0.2.2/24")) }
	return []race{
		{"create, locked", func(*rig) {}, locked, func(r *rig) error {
			_, err := r.try(apply, node("n", "192.0.2.1/24"))
			return err
		}, codes.FailedPrecondition},
		{"pool, overlapping pool made", func(*rig) {}, func(r *rig) { r.put(pool("p", "172.16.0.0/16")) },
			func(r *rig) error {
				_, err := r.try(apply, pool("q", "172.16.0.0/12"))
				return err
			}, codes.InvalidArgument},
		{"pool, foreign range made", func(*rig) {},
			func(r *rig) {
				r.settings(&vrouterv1.IPAMConfigurationSpec{ForeignCidrs: []string{"172.16.0.0/12"}})
			},
			func(r *rig) error {
				_, err := r.try(apply, pool("p", "172.16.0.0/16"))
				return err
			}, codes.InvalidArgument},
		{"foreign range, pool made", func(*rig) {}, func(r *rig) { r.put(pool("p", "172.16.0.0/16")) },
			func(r *rig) error {
				_, err := r.try(apply, &vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
					Spec: &vrouterv1.IPAMConfigurationSpec{ForeignCidrs: []string{"172.16.0.0/12"}}})
				return err
			}, codes.InvalidArgument},
		{"pool split, pool of the name of a part made", func(*rig) {}, func(r *rig) { r.put(pool("four-1", "172.16.0.0/16")) },
			func(r *rig) error {
				_, err := r.addresses.SplitPool(r.t.Context(), &vrouterv1.SplitPoolRequest{Pool: "four", Parts: 2})
				return err
			}, codes.AlreadyExists},
		{"pool removed, an address of it taken", func(r *rig) { r.put(pool("p", "172.16.0.0/16")) },
			func(r *rig) { r.register(asking("a", &vrouterv1.AddressRequest{Pools: []string{"p"}})) },
			func(r *rig) error { return r.removePool("p") }, codes.FailedPrecondition},
		{"replace, changed", node1, node2, func(r *rig) error {
			n := node("n", "192.0.2.3/24")
			n.Metadata.ResourceVersion = proto.String(fmt.Sprint(r.revision()))
			_, err := r.try(replace, n)
			return err
		}, codes.Aborted},
		{"remove a version, changed", node1, node2, func(r *rig) error {
			req := &vrouterv1.DeleteRequest{Kind: "Node", Name: "n", ResourceVersion: fmt.Sprint(r.revision())}
			_, err := r.resources.Delete(r.t.Context(), req)
			return err
		}, codes.Aborted},
	}
}

// Somebody who is faster each time is not fought for ever.
func TestRacesLostForEver(t *testing.T) {
	var o *overtaken
	r := newRig(t, func(opts *Options) {
		o = &overtaken{Store: opts.Store}
		opts.Store = o
	})
	n := 0
	var overtake func()
	overtake = func() {
		n++
		// The value only: what the API itself would write comes back here.
		r.rawBytes(idOf(t, endpointOf("a")), []byte{0xff})
		o.next = overtake
	}
	o.next = overtake
	_, err := r.endpoints.Register(t.Context(), registration("a", "10.0.0.1"))
	wantCode(t, err, codes.Aborted)
	if n != 100 { // as often as address management tries
		t.Errorf("tried %d times", n)
	}
}

// TestUnregisterBesideRegister: where an endpoint has addresses of more blocks
// than one transaction takes, what is left of its handle is released after it;
// if it is registered again meanwhile, it keeps what it was given then.
func TestUnregisterBesideRegister(t *testing.T) {
	var o *overtaken
	r := newRig(t, func(opts *Options) {
		o = &overtaken{Store: opts.Store}
		opts.Store = o
	})
	other := newRig(t, func(opts *Options) { opts.Store = r.store })
	p := pool("p", "172.16.0.0/24")
	p.Spec.BlockSize = proto.Int32(32)
	r.put(p)
	r.settings(&vrouterv1.IPAMConfigurationSpec{StrictAffinity: proto.Bool(true), MaxBlocksPerHost: proto.Int32(250)})
	fill := func() {
		for n := 12; n <= maxAddresses; n += 12 {
			r.register(asking("a", &vrouterv1.AddressRequest{Ipv4: int32(n), Pools: []string{"p"}}))
		}
	}
	fill()
	r.unregister("a")
	if n := r.inUse(); n != 0 {
		t.Fatalf("%d addresses in use", n)
	}
	fill()
	again := func() { other.register(asking("a", &vrouterv1.AddressRequest{Ipv4: 1, Pools: []string{"p"}})) }
	o.next = func() { o.next = func() { o.next = again } } // too large, without the handle, its release
	r.unregister("a")
	if o.next != nil {
		t.Error("nobody overtook")
	}
	r.consistent()
	r.unregister("a")
	r.consistent()
	if n := r.inUse(); n != 0 {
		t.Errorf("%d addresses in use", n)
	}
}

// late is a store on which something happens after a key was read, once, and
// before the reader knows what it held.
type late struct {
	store.Store
	key  string
	next func()
}

func (l *late) Read(ctx context.Context, keys, prefixes []string) (store.Snapshot, error) {
	found, err := l.Store.Read(ctx, keys, prefixes)
	if next := l.next; next != nil && slices.Contains(keys, l.key) {
		l.next = nil
		next()
	}
	return found, err
}

// TestUnregisterWhatWasJustMade: an endpoint that is made after its handle was
// looked for, and before the endpoint itself is, goes with its addresses.
func TestUnregisterWhatWasJustMade(t *testing.T) {
	var l *late
	r := newRig(t, func(opts *Options) {
		l = &late{Store: opts.Store, key: store.HandleKey(handleOf(t, "a"))}
		opts.Store = l
	})
	other := newRig(t, func(opts *Options) { opts.Store = r.store })
	l.next = func() { other.register(registration("a", "10.0.0.1")) }
	r.unregister("a")
	if l.next != nil {
		t.Error("nobody made it")
	}
	r.consistent()
	if n := r.inUse(); n != 0 {
		t.Errorf("%d addresses in use", n)
	}
}
