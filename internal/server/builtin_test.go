package server

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func tier(name string, order float64, labels map[string]string) *vrouterv1.Tier {
	return &vrouterv1.Tier{Metadata: &vrouterv1.Metadata{Name: proto.String(name), Labels: labels},
		Spec: &vrouterv1.TierSpec{Order: proto.Float64(order)}}
}

// listed returns the names of all objects of a kind, a page of some at a time,
// each with its resource version behind it if it has one.
func (r *rig) listed(kind resource.Kind, page int32) string {
	r.t.Helper()
	var names []string
	req := &vrouterv1.ListRequest{Kind: string(kind), PageSize: page}
	for {
		resp, err := r.resources.List(r.t.Context(), req)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, res := range resp.Resources {
			_, msg, err := resource.Unwrap(res)
			if err != nil {
				r.t.Fatal(err)
			}
			meta := resource.MetadataOf(msg)
			name := meta.GetName()
			if meta.GetResourceVersion() != "" {
				name += "*"
			}
			names = append(names, name)
		}
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			return strings.Join(names, " ")
		}
	}
}

// TestBuiltIn: what is always there is read like what is stored, whatever the
// pages, and stays.
func TestBuiltIn(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a", "e", "i", "m", "z"} {
		r.must(create, tier(name, 1, nil))
	}
	for page := range int32(9) {
		if got := r.listed(resource.KindTier, page); got != "a* default e* i* kube-admin kube-baseline m* z*" {
			t.Errorf("pages of %d: %s", page, got)
		}
	}
	if got := r.listed(resource.KindProfile, 0); got != resource.DefaultAllow {
		t.Errorf("profiles: %s", got)
	}
	resp, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "tier", Name: "default"})
	if err != nil || resp.GetResource().GetTier().GetSpec().GetOrder() != 1_000_000 {
		t.Errorf("%v, %v", resp, err)
	}
	events, _ := r.told(t.Context(), &vrouterv1.WatchRequest{Kinds: []string{"tiers", "profile", "tier"}}, r.revision())
	first := strings.Split(events, "\n")
	if len(first) != 10 || !slices.Contains(first[:4], "put Tier/default") || !slices.Contains(first[:4], "put Profile/"+resource.DefaultAllow) {
		t.Errorf("a watch tells %s", events)
	}

	for _, same := range []proto.Message{tier("default", 1_000_000, nil), resp.GetResource().GetTier()} {
		if got := r.must(apply, same); !got.Unchanged {
			t.Errorf("what is there was written: %v", got)
		}
	}
	labelled := tier("default", 1_000_000, map[string]string{"a": "b"})
	_, err = r.try(create, labelled)
	wantCode(t, err, codes.AlreadyExists)
	r.must(replace, labelled)
	if got := r.listed(resource.KindTier, 2); got != "a* default* e* i* kube-admin kube-baseline m* z*" {
		t.Errorf("after the change: %s", got)
	}
	_, err = r.try(apply, tier("default", 7, nil))
	wantPaths(t, err, "spec.order")
	allow, _ := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "profile", Name: resource.DefaultAllow})
	r.must(apply, allow.GetResource().GetProfile()) // as it is
	allow.GetResource().GetProfile().Spec.Egress = nil
	_, err = r.try(apply, allow.GetResource().GetProfile())
	wantCode(t, err, codes.FailedPrecondition)
	for kind, names := range map[string][]string{"tier": {"default", "kube-admin"}, "profile": {resource.DefaultAllow}} {
		for _, name := range names {
			_, err = r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: kind, Name: name})
			wantCode(t, err, codes.FailedPrecondition)
		}
	}
}

// TestTierInUse: a tier with policies stays, whatever kind they are.
func TestTierInUse(t *testing.T) {
	r := newRig(t)
	remove := func(kind, name string) error {
		_, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: kind, Name: name})
		return err
	}
	r.must(apply, tier("t", 1, nil))
	meta := &vrouterv1.Metadata{Name: proto.String("t.x")}
	r.must(apply, &vrouterv1.NetworkPolicy{Metadata: meta, Spec: &vrouterv1.NetworkPolicySpec{Tier: proto.String("t")}})
	wantCode(t, remove("tier", "t"), codes.FailedPrecondition)
	r.must(apply, &vrouterv1.StagedGlobalNetworkPolicy{Metadata: meta, Spec: &vrouterv1.StagedGlobalNetworkPolicySpec{Tier: proto.String("t")}})
	if err := remove("np", "t.x"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, remove("tier", "t"), codes.FailedPrecondition)
	if err := remove("sgnp", "t.x"); err != nil {
		t.Fatal(err)
	}
	if err := remove("tier", "t"); err != nil {
		t.Fatal(err)
	}
}

// TestPolicyWithoutTier: who writes or reads a policy whose tier is not there is
// told, until it is.
func TestPolicyWithoutTier(t *testing.T) {
	r := newRig(t)
	policy := func(name, tier string) *vrouterv1.GlobalNetworkPolicy {
		return &vrouterv1.GlobalNetworkPolicy{Metadata: &vrouterv1.Metadata{Name: proto.String(name)},
			Spec: &vrouterv1.GlobalNetworkPolicySpec{Tier: proto.String(tier)}}
	}
	const want = "spec.tier: there is no tier t; the policy holds for nothing until there is"
	if resp := r.must(apply, policy("t.x", "t")); !slices.Equal(resp.Warnings, []string{want}) || resp.GetResource().GetGlobalNetworkPolicy().Status != nil {
		t.Errorf("written: %v", resp)
	}
	if resp := r.must(apply, policy("kube-admin.x", "kube-admin")); len(resp.Warnings) > 0 {
		t.Errorf("in a tier that is there: %v", resp.Warnings)
	}
	problems := func() (got, listed string) {
		resp, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "gnp", Name: "t.x"})
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "gnp"})
		if err != nil || len(list.Resources) != 2 {
			t.Fatalf("%v, %v", list, err)
		}
		for _, p := range list.Resources {
			listed += strings.Join(p.GetGlobalNetworkPolicy().GetStatus().GetProblems(), "|")
		}
		return strings.Join(resp.GetResource().GetGlobalNetworkPolicy().GetStatus().GetProblems(), "|"), listed
	}
	if got, listed := problems(); got != want || listed != want {
		t.Errorf("got %q, listed %q", got, listed)
	}
	r.must(apply, tier("t", 1, nil))
	if got, listed := problems(); got != "" || listed != "" {
		t.Errorf("with the tier: got %q, listed %q", got, listed)
	}
}

// TestPolicyNames: a policy of the tier default is found under both its names.
func TestPolicyNames(t *testing.T) {
	r := newRig(t)
	policy := func(name string) *vrouterv1.NetworkPolicy {
		return &vrouterv1.NetworkPolicy{Metadata: &vrouterv1.Metadata{Name: proto.String(name)}}
	}
	r.must(create, policy("default.x"))
	_, err := r.try(create, policy("x"))
	wantCode(t, err, codes.AlreadyExists)
	for _, name := range []string{"x", "default.x"} {
		resp, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "networkpolicy", Name: name})
		if err != nil || resp.GetResource().GetNetworkPolicy().GetMetadata().GetName() != "x" {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
	if got := r.listed(resource.KindNetworkPolicy, 0); got != "x*" {
		t.Errorf("listed: %s", got)
	}
}
