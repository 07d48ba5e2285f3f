package agent

import (
	"context"
	"math"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/view"
	"github.com/projectvrouter/vrouter/policy"
)

// Resolver is what policy.Resolver does.
type Resolver interface {
	policy.Source
	gates
	// Take says what objects are now, as one change; nil: they are gone.
	Take(map[resource.ID]resource.Object)
	// Problems returns what is stored and cannot be enforced as it stands.
	Problems() []policy.Problem
}

// Policing is what enforces policy on the host.
type Policing struct {
	Resolver  Resolver
	Table     *policy.Table
	Dataplane string    // its name in statuses
	Flows     Flows     // nil: no connection is cut
	Watch     FlowWatch // of denied and logged packets; nil: none are told
	Firewalls Firewalls // nil: those of others are not looked at
}

// name is what statuses say of what enforces policy.
func (p *Policing) name() string {
	if p == nil {
		return "none"
	}
	return p.Dataplane
}

// policing is the edge view → resolver → what the kernel enforces.
type policing struct {
	view     *view.View
	resolver Resolver
	table    *policy.Table
	log      hclog.Logger
}

// Run hands over objects from the time that it is known what the node should
// hold, all of them before the kernel is asked to enforce anything: what an
// earlier daemon left in force holds until then.
func (p *policing) Run(ctx context.Context, known <-chan struct{}) error {
	if !wait(ctx, known) || !p.view.Knows() && !wait(ctx, p.view.Synced()) {
		return nil
	}
	p.resolver.Take(p.view.DrainObjects())
	done := make(chan error, 1)
	go func() { done <- p.table.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-p.view.ObjectsChanged():
			p.resolver.Take(p.view.DrainObjects())
		}
	}
}

// police tells how far endpoints are policed.
type police interface {
	gates
	// Policed returns the revision of an endpoint whose policy is in force.
	Policed(id resource.EndpointID) int64
	// Changed signals that Drain has something to tell.
	Changed() <-chan struct{}
	Drain() []policy.Status
	// Tried is closed once everything was tried, Ready when it is in force.
	Tried() <-chan struct{}
	Ready() <-chan struct{}
}

// unpoliced is the police where policy is off: nobody waits for it.
type unpoliced struct{}

func (unpoliced) Policed(resource.EndpointID) int64 { return math.MaxInt64 }
func (unpoliced) Reach(resource.EndpointID, string) bool {
	return true
}
func (unpoliced) Keep(string)              {}
func (unpoliced) Leave(string)             {}
func (unpoliced) Changed() <-chan struct{} { return nil }
func (unpoliced) Drain() []policy.Status   { return nil }
func (unpoliced) Tried() <-chan struct{}   { return closed() }
func (unpoliced) Ready() <-chan struct{}   { return closed() }

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
