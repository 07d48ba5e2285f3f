package explain_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy/explain"
	"github.com/projectvrouter/vrouter/policy/policytest"
)

// TestNewFor: what is resolved for one probe says of it what all that is
// resolved says, of some probes of each case of the conformance suite.
func TestNewFor(t *testing.T) {
	cases, err := policytest.Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		whole, err := explain.New(c.Objects)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(c.Probes); i += 5 {
			compareClusters(t, c.Name, whole, c.Objects, c.Probes[i].Probe)
		}
	}
}

// TestNewForSharedInterface: another endpoint of the interface matters, though
// nobody asked for it.
func TestNewForSharedInterface(t *testing.T) {
	cases, err := policytest.Cases()
	if err != nil {
		t.Fatal(err)
	}
	objects, p := slices.Clone(cases[0].Objects), cases[0].Probes[0].Probe
	p.From, p.To = "default/w1", "default/w2"
	for _, o := range cases[0].Objects {
		if w, ok := o.(*resource.WorkloadEndpoint); ok && w.Endpoint.Workload == "w2" {
			other := *w
			other.Name, other.Endpoint.Workload, other.Addresses = "other", "other", nil
			objects = append(objects, &other)
		}
	}
	whole, err := explain.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	if r := compareClusters(t, "shared", whole, objects, p); r != "denied" {
		t.Errorf("%s though the interface has two endpoints", r)
	}
}

func compareClusters(t *testing.T, name string, whole *explain.Cluster, objects []resource.Object, p explain.Probe) string {
	t.Helper()
	want, wantErr := whole.Explain(p)
	part, err := explain.NewFor(objects, p)
	if err != nil {
		t.Fatalf("%s: %s: %v", name, p, err)
	}
	got, gotErr := part.Explain(p)
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || (wantErr == nil) != (gotErr == nil) {
		t.Errorf("%s: %s (-whole +part): %v, %v\n%s", name, p, wantErr, gotErr, diff)
	}
	for _, end := range want.GetEnds() {
		ask, digest, err := whole.Subject(end)
		partAsk, partDigest, partErr := part.Subject(end)
		if diff := cmp.Diff(ask, partAsk, protocmp.Transform()); diff != "" || digest != partDigest || err != nil || partErr != nil {
			t.Errorf("%s: owner of %s: %q and %q, %v, %v\n%s", name, end.GetName(), digest, partDigest, err, partErr, diff)
		}
	}
	return want.GetVerdict()
}
