package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const (
	apply   = vrouterv1.PutMode_PUT_MODE_APPLY
	create  = vrouterv1.PutMode_PUT_MODE_CREATE
	replace = vrouterv1.PutMode_PUT_MODE_REPLACE
)

func (r *rig) try(mode vrouterv1.PutMode, msg proto.Message) (*vrouterv1.PutResponse, error) {
	r.t.Helper()
	return r.resources.Put(r.t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(proto.Clone(msg)), Mode: mode})
}

func (r *rig) must(mode vrouterv1.PutMode, msg proto.Message) *vrouterv1.PutResponse {
	r.t.Helper()
	resp, err := r.try(mode, msg)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func node(name, address string) *vrouterv1.Node {
	return &vrouterv1.Node{
		Metadata: &vrouterv1.Metadata{Name: proto.String(name)},
		Spec:     &vrouterv1.NodeSpec{Bgp: &vrouterv1.NodeBGPSpec{Ipv4Address: proto.String(address)}},
	}
}

func TestPutModes(t *testing.T) {
	r := newRig(t)
	n := node("a", "192.0.2.1/24")
	_, err := r.try(replace, n)
	wantPaths(t, err, "metadata.resourceVersion")
	n.Metadata.ResourceVersion = proto.String("1")
	_, err = r.try(replace, n)
	wantCode(t, err, codes.NotFound)
	_, err = r.try(create, n)
	wantPaths(t, err, "metadata.resourceVersion")
	_, err = r.try(apply, n)
	wantCode(t, err, codes.Aborted)

	n.Metadata.ResourceVersion = nil
	first := r.must(create, n)
	_, err = r.try(create, n)
	info := detail[*errdetails.ResourceInfo](t, wantCode(t, err, codes.AlreadyExists))
	if info.ResourceName != "Node/a" {
		t.Errorf("what exists is given as %q", info.ResourceName)
	}
	stored := first.Resource.GetNode()
	n = proto.Clone(stored).(*vrouterv1.Node)
	n.Metadata.Labels = map[string]string{"rack": "1"}
	relabelled := r.must(replace, n).Resource.GetNode()
	if relabelled.Metadata.GetGeneration() != 1 || relabelled.Metadata.GetUid() != stored.Metadata.GetUid() {
		t.Errorf("a label changed the metadata to %v", relabelled.Metadata)
	}
	_, err = r.try(replace, n) // stale now
	wantCode(t, err, codes.Aborted)
	_, err = r.try(apply, n)
	wantCode(t, err, codes.Aborted)
	n.Metadata.ResourceVersion = nil
	n.Spec.Bgp.Ipv4Address = proto.String("192.0.2.2/24")
	if again := r.must(apply, n).Resource.GetNode(); again.Metadata.GetGeneration() != 2 {
		t.Errorf("generation %d after a change of the spec", again.Metadata.GetGeneration())
	}
	_, err = r.try(99, n)
	wantPaths(t, err, "mode")
}

func TestUnchangedWritesNothing(t *testing.T) {
	r := newRig(t)
	n := r.must(apply, node("a", "192.0.2.1/24")).Resource.GetNode()
	before := r.revision()
	resp := r.must(replace, n)
	if !resp.Unchanged || resp.Created || !proto.Equal(resp.Resource.GetNode(), n) || len(resp.Warnings) > 0 {
		t.Errorf("written back: %v", resp)
	}
	if r.revision() != before {
		t.Error("an unchanged object was written")
	}
}

func TestServerSetFieldsAreIgnored(t *testing.T) {
	r := newRig(t)
	n := node("a", "192.0.2.1/24")
	n.Metadata.Uid, n.Metadata.Generation = proto.String("mine"), proto.Int32(70)
	n.Metadata.CreationTimestamp = proto.String("1999-12-31T23:59:59Z")
	n.Status = &vrouterv1.NodeStatus{WireguardPublicKey: proto.String("x")}
	resp := r.must(apply, n)
	if got := strings.Join(resp.Warnings, "\n"); strings.Count(got, "ignored") != 4 {
		t.Errorf("warnings: %s", got)
	}
	stored := resp.Resource.GetNode()
	if stored.Status != nil || stored.Metadata.GetUid() == "mine" || stored.Metadata.GetGeneration() != 1 {
		t.Errorf("stored: %v", stored)
	}
}

func TestDryRun(t *testing.T) {
	r := newRig(t)
	before := r.revision()
	dry := func(msg proto.Message) error {
		_, err := r.resources.Put(t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(msg), DryRun: true})
		return err
	}
	if err := dry(pool("new", "10.9.0.0/16")); err != nil {
		t.Error(err)
	}
	wantPaths(t, dry(pool("new", "10.0.1.0/24")), "spec.cidr") // overlaps
	wantPaths(t, dry(pool("new", "10.9.1.1/16")), "spec.cidr")
	if r.revision() != before {
		t.Error("a dry run wrote")
	}
}

func TestPutBadInput(t *testing.T) {
	r := newRig(t)
	peer := &vrouterv1.BGPPeer{Metadata: &vrouterv1.Metadata{Name: proto.String("p")},
		Spec: &vrouterv1.BGPPeerSpec{PeerIp: proto.String("192.0.2.1.7"), NodeSelector: proto.String("a ==")}}
	_, err := r.try(apply, peer)
	if st := wantCode(t, err, codes.InvalidArgument); !strings.Contains(st.Message(), "spec.nodeSelector") ||
		!strings.Contains(st.Message(), "spec.peerIP") {
		t.Errorf("not every problem is reported: %v", err)
	}
	encap := pool("p", "10.9.0.0/16")
	encap.Spec.VxlanMode = proto.String("Always")
	_, err = r.try(apply, encap)
	wantPaths(t, err, "spec.vxlanMode")
	if info := detail[*errdetails.ErrorInfo](t, status.Convert(err)); info.Reason != "UNSUPPORTED" || info.Domain != "vrouter" {
		t.Errorf("details: %v", info)
	}
	strange := pool("p", "10.9.0.0/16")
	strange.Spec.ProtoReflect().SetUnknown(unknownField())
	_, err = r.try(apply, strange)
	wantPaths(t, err, "spec")
	_, err = r.resources.Put(t.Context(), &vrouterv1.PutRequest{})
	wantPaths(t, err, "resource")
	_, err = r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "Unicorn", Name: "x"})
	wantPaths(t, err, "kind")
	_, err = r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "Node", Namespace: "x", Name: "x"})
	wantPaths(t, err, "namespace")
	_, err = r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "Node"})
	wantPaths(t, err, "name")
	_, err = r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "Node", LabelSelector: "a == "})
	wantPaths(t, err, "labelSelector")
	_, err = r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "Node", PageToken: "bm8"})
	wantPaths(t, err, "pageToken")
	_, err = r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "Node", PageSize: -1})
	wantPaths(t, err, "pageSize")
}

func unknownField() []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, 4711, protowire.VarintType), 1)
}

func TestPoolsNeverOverlap(t *testing.T) {
	r := newRig(t)
	_, err := r.try(apply, pool("other", "10.0.128.0/17"))
	wantPaths(t, err, "spec.cidr")
	_, err = r.try(apply, pool("four", "10.0.0.0/17")) // the blocks made of it would lie outside
	wantPaths(t, err, "spec.cidr")
	var g errgroup.Group
	created := make(chan string, 20)
	for i := range 20 {
		g.Go(func() error {
			resp, err := r.try(apply, pool(fmt.Sprintf("p%d", i), fmt.Sprintf("172.16.0.0/%d", 12+i%4)))
			if resp.GetCreated() {
				created <- "created"
			} else if code := status.Code(err); code != codes.InvalidArgument && code != codes.Aborted {
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(created) != 1 {
		t.Errorf("%d overlapping pools were made at once", len(created))
	}
}

func TestParallelAppliesAllSucceed(t *testing.T) {
	r := newRig(t)
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			n := node("a", "192.0.2.1/24")
			n.Metadata.Labels = map[string]string{"try": fmt.Sprint(i)}
			_, err := r.try(apply, n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestLockedCluster(t *testing.T) {
	r := newRig(t)
	info := &vrouterv1.ClusterInformation{
		Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec:     &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(false)},
	}
	r.put(info)
	_, err := r.endpoints.Register(t.Context(), registration("a", "10.0.0.1"))
	if f := detail[*errdetails.PreconditionFailure](t, wantCode(t, err, codes.FailedPrecondition)); f.Violations[0].Type != "LOCKED" {
		t.Errorf("details: %v", f)
	}
	_, err = r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "IPPool", Name: "four"})
	wantCode(t, err, codes.FailedPrecondition)
	info.Spec.DatastoreReady = proto.Bool(true)
	r.put(info)
	r.register(registration("a", "10.0.0.1"))
}

// TestClusterKeepsItsIdentity: the ClusterInformation of another cluster changes
// what it says, and not which cluster this is.
func TestClusterKeepsItsIdentity(t *testing.T) {
	r := newRig(t)
	info := func(guid, kind string) *vrouterv1.ClusterInformation {
		m := &vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
			Spec: &vrouterv1.ClusterInformationSpec{ClusterType: proto.String(kind)}}
		if guid != "" {
			m.Spec.ClusterGuid = proto.String(guid)
		}
		return m
	}
	r.put(info("ours", "a"))
	for _, tt := range []struct {
		guid, kind string
		warnings   []string
	}{{"theirs", "b", []string{"spec.clusterGUID: ignored, this cluster is ours"}}, {"", "c", nil}, {"ours", "d", nil}} {
		resp := r.must(apply, info(tt.guid, tt.kind))
		spec := resp.Resource.GetClusterInformation().GetSpec()
		if spec.GetClusterGuid() != "ours" || spec.GetClusterType() != tt.kind || !slices.Equal(resp.Warnings, tt.warnings) {
			t.Errorf("%q: %v, warnings %q", tt.guid, spec, resp.Warnings)
		}
	}
}

func TestDeleteComparesTheVersion(t *testing.T) {
	r := newRig(t)
	n := r.must(apply, node("a", "192.0.2.1/24")).Resource.GetNode()
	del := func(version string) error {
		_, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "node", Name: "a", ResourceVersion: version})
		return err
	}
	wantCode(t, del("1"), codes.Aborted)
	if err := del(n.Metadata.GetResourceVersion()); err != nil {
		t.Error(err)
	}
	wantCode(t, del(""), codes.NotFound)
}

// What a newer version stored is served, and kept when the object is written
// by this one.
func TestFieldsOfANewerVersion(t *testing.T) {
	r := newRig(t)
	n := node("a", "192.0.2.1/24")
	resource.Canonicalize(n)
	n.Spec.ProtoReflect().SetUnknown(unknownField())
	n.Spec.Interfaces = []*vrouterv1.NodeInterface{{Name: proto.String("eth0")}, {Name: proto.String("eth1")}}
	n.Spec.Interfaces[1].ProtoReflect().SetUnknown(unknownField())
	r.raw(n)
	got, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "Node", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Resource.GetNode().Spec.ProtoReflect().GetUnknown()) == 0 {
		t.Error("unknown field is not served")
	}
	mine := node("a", "192.0.2.2/24")
	mine.Spec.Interfaces = []*vrouterv1.NodeInterface{{Name: proto.String("eth1")}}
	stored := r.must(apply, mine).Resource.GetNode()
	if len(stored.Spec.ProtoReflect().GetUnknown()) == 0 || len(stored.Spec.Interfaces[0].ProtoReflect().GetUnknown()) == 0 {
		t.Error("unknown fields were lost")
	}
	if stored.Spec.Bgp.GetIpv4Address() != "192.0.2.2/24" || len(stored.Spec.Interfaces) != 1 {
		t.Errorf("stored: %v", stored.Spec)
	}
}

// raw stores an object past the API.
func (r *rig) raw(msg proto.Message) {
	r.t.Helper()
	value, err := resource.Encode(msg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.rawBytes(resource.IDOf(msg), value)
}

func (r *rig) rawBytes(id resource.ID, value []byte) {
	r.t.Helper()
	if _, err := r.store.Txn(r.t.Context(), nil, []store.Op{{Key: resourceKey(id), Value: value}}); err != nil {
		r.t.Fatal(err)
	}
}

func TestLivingNodeStays(t *testing.T) {
	r := newRig(t)
	r.must(apply, node("alive", "192.0.2.1/24"))
	r.publish("alive", "")
	remove := &vrouterv1.DeleteRequest{Kind: "Node", Name: "alive"}
	_, err := r.resources.Delete(t.Context(), remove)
	if f := detail[*errdetails.PreconditionFailure](t, wantCode(t, err, codes.FailedPrecondition)); f.Violations[0].Type != "IN_USE" {
		t.Errorf("details: %v", f)
	}
	gone := store.Op{Key: store.LiveKey("agent", "alive"), Delete: true}
	if _, err := r.store.Txn(t.Context(), nil, []store.Op{gone}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.resources.Delete(t.Context(), remove); err != nil {
		t.Errorf("its daemon has stopped: %v", err)
	}
}

// What does not convert holds up nothing else, can be seen, and removed.
func TestObjectsThatDoNotConvert(t *testing.T) {
	r := newRig(t)
	r.raw(node("wrong", "not an address"))
	r.rawBytes(resource.ID{Kind: resource.KindNode, Name: "damaged"}, []byte{0xff})
	r.must(apply, node("z", "192.0.2.1/24"))
	resp, err := r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "Node"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range resp.Resources {
		names = append(names, o.GetNode().Metadata.GetName())
	}
	if got := strings.Join(names, " "); got != "damaged wrong z" {
		t.Errorf("listed: %s", got)
	}
	r.must(apply, node("damaged", "192.0.2.7/24"))
	if _, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "Node", Name: "wrong"}); err != nil {
		t.Error(err)
	}
}

// A pool that does not convert can be mended, and not be made another one below
// its blocks.
func TestPoolThatDoesNotConvert(t *testing.T) {
	r := newRig(t)
	r.register(registration("a"))
	with := func(cidr string, size int32) *vrouterv1.IPPool {
		p := pool("four", cidr)
		p.Spec.BlockSize = &size
		return p
	}
	bad := with("10.0.0.0/16", 26)
	bad.Spec.AssignmentMode = proto.String("of a later version")
	r.raw(bad)
	_, err := r.try(apply, with("172.16.0.0/16", 26))
	wantPaths(t, err, "spec.cidr")
	_, err = r.try(apply, with("10.0.0.0/16", 28))
	wantPaths(t, err, "spec.blockSize")
	r.must(apply, with("10.0.0.0/16", 26))
	r.consistent()
}

// A damaged endpoint does not tell its addresses: they are freed all the same.
func TestDamagedEndpoint(t *testing.T) {
	r := newRig(t)
	for _, next := range []func(){
		func() {
			_, err := r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: endpointOf("a")})
			if err != nil {
				t.Fatal(err)
			}
		},
		func() { r.register(registration("a", "10.0.0.2")) },
	} {
		r.register(registration("a", "10.0.0.1"))
		r.rawBytes(idOf(t, endpointOf("a")), []byte{0xff})
		next()
		r.consistent()
	}
}

func TestListPagesAreOfOneRevision(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		n := node(fmt.Sprintf("n%d", i), fmt.Sprintf("192.0.2.%d/24", i+1))
		n.Metadata.Labels = map[string]string{"odd": fmt.Sprint(i % 2)}
		r.must(apply, n)
	}
	req := &vrouterv1.ListRequest{Kind: "nodes", LabelSelector: "odd == '1'", PageSize: 2}
	var names []string
	for pages := 1; ; pages++ {
		resp, err := r.resources.List(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range resp.Resources {
			names = append(names, o.GetNode().Metadata.GetName())
		}
		if pages == 1 { // later pages do not see it
			_, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "Node", Name: "n9"})
			if err != nil {
				t.Fatal(err)
			}
		}
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "n1 n3 n5 n7 n9" {
		t.Errorf("listed: %s", got)
	}
	first, err := r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "Node", PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	req.PageToken = first.NextPageToken // of another query
	_, err = r.resources.List(t.Context(), req)
	wantPaths(t, err, "pageToken")
	r.must(apply, node("later", "192.0.2.99/24"))
	if err := r.store.Compact(r.revision()); err != nil {
		t.Fatal(err)
	}
	_, err = r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "Node", PageToken: first.NextPageToken})
	wantCode(t, err, codes.OutOfRange)
}

func TestFullStore(t *testing.T) {
	r := newRig(t)
	r.store.SetFull(true)
	_, err := r.endpoints.Register(t.Context(), registration("a", "10.0.0.1"))
	wantCode(t, err, codes.ResourceExhausted)
}

func TestStatusIsServedWithTheObject(t *testing.T) {
	r := newRig(t)
	r.register(registration("a", "10.0.0.1"))
	r.register(registration("b", "10.0.0.2"))
	r.report("b", &vrouterv1.WorkloadEndpointStatus{Policy: proto.String("none")})
	resp, err := r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "wep"})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := resp.Resources[0].GetWorkloadEndpoint(), resp.Resources[1].GetWorkloadEndpoint(); a.Status != nil || b.Status.GetPolicy() != "none" {
		t.Errorf("statuses: %v, %v", a.Status, b.Status)
	}
	got, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "wep", Name: "vms/b/eth0"})
	if err != nil || got.Resource.GetWorkloadEndpoint().Status.GetPolicy() != "none" {
		t.Errorf("get: %v, %v", got, err)
	}
}
