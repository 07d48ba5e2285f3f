package agent

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/policytest"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// someFlows tells a flow for each prefix, then fails.
type someFlows []policy.FlowPrefix

func (s someFlows) Watch(_ context.Context, ready func() error, send func(policy.Flow, uint64) error) error {
	if err := ready(); err != nil {
		return err
	}
	for i, p := range s {
		f := policy.Flow{Prefix: p, Packet: policy.Packet{
			Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.2"), Protocol: policy.ProtocolTCP,
		}}
		if err := send(f, uint64(i)); err != nil {
			return err
		}
	}
	return io.ErrUnexpectedEOF
}

func TestWatchFlows(t *testing.T) {
	resolver := policy.NewResolver("host1")
	for _, o := range policyObjects(t, "80") {
		resolver.Put(o)
	}
	long := strings.Repeat("long", 30)
	table := policy.NewTable(resolver, policytest.NewMemory(), policy.Options{ReadBack: -1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = table.Run(ctx) }() // nil at the end
	<-table.Ready()
	db := policy.FlowSubject(resource.ID{Kind: resource.KindNetworkPolicy, Namespace: "a", Name: "db"})
	a := &Agent{opts: Options{Identity: Identity{Name: "host1"}, Policing: &Policing{Table: table, Watch: someFlows{
		{Action: policy.Log, Rule: 3, Subject: db},
		{Action: policy.Deny, Rule: -1, Subject: policy.FlowTier("default")},
		{Action: policy.Deny, Direction: policy.Egress, Rule: -1, Subject: policy.SpoofedSubject},
		{Action: policy.Deny, Rule: 0, Subject: policy.FlowSubject(resource.ID{Kind: resource.KindProfile, Name: long})},
	}}}}
	var got []*vrouterv1.WatchFlowsResponse
	err := a.WatchFlows(ctx, func(m *vrouterv1.WatchFlowsResponse) error {
		got = append(got, m)
		return nil
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 5 || got[0].Event != nil || got[4].Dropped != 3 {
		t.Fatal(got, err)
	}
	if e := got[1].Event; e.Policy != "NetworkPolicy/a/db" || e.Tier != "default" || e.Rule != 3 || e.Action != "Log" || e.Node != "host1" {
		t.Errorf("policy: %v", e)
	}
	if e := got[2].Event; e.Policy != "" || e.Tier != "default" || e.Reason != "end of tier default" {
		t.Errorf("tier: %v", e)
	}
	if e := got[3].Event; e.Reason != "the source address is not the workload's" || e.Direction != "Egress" {
		t.Errorf("source: %v", e)
	}
	if e := got[4].Event; !strings.HasSuffix(e.Reason, "which is not in force any more") {
		t.Errorf("gone: %v", e)
	}
	a.opts.Policing.Watch = nil
	if err := a.WatchFlows(ctx, nil); err == nil {
		t.Error("nothing listens, and no error")
	}
}
