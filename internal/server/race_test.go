package server

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
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
	if next := o.next; next != nil {
		o.next = nil
		next()
	}
	return o.Store.Txn(ctx, compares, ops)
}

// A write whose ground has changed under it is judged again on what is there
// now.
func TestLostRaces(t *testing.T) {
	on := func(node string, req *vrouterv1.RegisterRequest) *vrouterv1.RegisterRequest {
		req.Node = node
		return req
	}
	unregister := func(r *rig) {
		_, err := r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: endpointOf("a")})
		if err != nil {
			t.Error(err)
		}
	}
	register := func(req *vrouterv1.RegisterRequest) func(*rig) {
		return func(r *rig) { r.register(req) }
	}
	tries := func(req *vrouterv1.RegisterRequest) func(*rig) error {
		return func(r *rig) error {
			_, err := r.endpoints.Register(t.Context(), req)
			return err
		}
	}
	locked := func(r *rig) {
		r.put(&vrouterv1.ClusterInformation{
			Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
			Spec:     &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(false)}})
	}
	for _, c := range []struct {
		name     string
		before   func(*rig)       // how it was
		overtake func(*rig)       // what happens meanwhile
		try      func(*rig) error // what is tried
		code     codes.Code
	}{
		{"create, created elsewhere", func(*rig) {}, register(on("host2", registration("a", "10.0.0.2"))),
			tries(registration("a", "10.0.0.1")), codes.OK},
		{"create, the same created", func(*rig) {}, register(registration("a", "10.0.0.1")),
			tries(registration("a", "10.0.0.1")), codes.OK},
		{"create, address taken", func(*rig) {}, register(registration("b", "10.0.0.1")),
			tries(registration("a", "10.0.0.1")), codes.AlreadyExists},
		{"move, removed", register(registration("a", "10.0.0.1")), unregister,
			tries(on("host2", registration("a", "10.0.0.1"))), codes.OK},
		{"move, moved elsewhere", register(registration("a", "10.0.0.1")),
			register(on("host3", registration("a", "10.0.0.3", "10.0.0.1"))),
			tries(on("host2", registration("a", "10.0.0.1"))), codes.OK},
		{"give up an address, given up and taken", register(registration("a", "10.0.0.1", "10.0.0.2")),
			func(r *rig) {
				r.register(registration("a", "10.0.0.2"))
				r.register(registration("b", "10.0.0.1"))
			}, tries(registration("a", "10.0.0.3")), codes.OK},
		{"remove, changed", register(registration("a", "10.0.0.1")), register(registration("a", "10.0.0.2")),
			func(r *rig) error {
				_, err := r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: endpointOf("a")})
				return err
			}, codes.OK},
		{"create, locked", func(*rig) {}, locked, tries(registration("a", "10.0.0.1")), codes.FailedPrecondition},
		{"pool, overlapping pool made", func(*rig) {}, func(r *rig) { r.put(pool("p", "172.16.0.0/16")) },
			func(r *rig) error {
				_, err := r.try(apply, pool("q", "172.16.0.0/12"))
				return err
			}, codes.InvalidArgument},
		{"replace, changed", func(r *rig) { r.put(node("n", "192.0.2.1/24")) },
			func(r *rig) { r.put(node("n", "192.0.2.2/24")) },
			func(r *rig) error {
				got, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "Node", Name: "n"})
				if err != nil {
					return err
				}
				n := got.Resource.GetNode()
				// The version is that of before the overtaking, which the try below meets.
				n.Spec.Bgp.Ipv4Address = proto.String("192.0.2.3/24")
				_, err = r.try(replace, n)
				return err
			}, codes.Aborted},
		{"remove a version, changed", func(r *rig) { r.put(node("n", "192.0.2.1/24")) },
			func(r *rig) { r.put(node("n", "192.0.2.2/24")) },
			func(r *rig) error {
				req := &vrouterv1.DeleteRequest{Kind: "Node", Name: "n", ResourceVersion: fmt.Sprint(r.revision())}
				_, err := r.resources.Delete(t.Context(), req)
				return err
			}, codes.Aborted},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o *overtaken
			r := newRig(t, func(opts *Options) {
				o = &overtaken{Store: opts.Store}
				opts.Store = o
			})
			c.before(r)
			o.next = func() { c.overtake(r) }
			wantCode(t, c.try(r), c.code)
			if o.next != nil {
				t.Error("nobody overtook")
			}
			r.consistent()
		})
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
	if n != maxTries {
		t.Errorf("tried %d times", n)
	}
}
