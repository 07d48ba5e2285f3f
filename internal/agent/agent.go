package agent

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/internal/view"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/reflector"
)

// The conditions of a node.
const (
	conditionStore   = "store"   // in touch with the store that we know
	conditionNode    = "node"    // our name is ours and registered
	conditionSynced  = "synced"  // the store has told everything once
	conditionStarted = "started" // local routes were tried and BGP runs
)

// Conditions lists what has to hold for a node to be ready.
func Conditions() []string {
	return []string{conditionStore, conditionNode, conditionSynced, conditionStarted}
}

// Options is what an Agent stands on.
type Options struct {
	Identity Identity
	Store    store.Store
	LeaseTTL time.Duration
	Speaker  bgp.Speaker
	BGP      BGPOptions
	// Origins has the speaker ask who may announce what; nil: nobody checks.
	Origins OriginChecker
	// OriginCheck is how, where no ReflectorGroup says it.
	OriginCheck resource.OriginCheck

	// Table and Interfaces are nil on a reflector, which touches no route.
	Table      *fib.Table
	Interfaces Interfaces
	// Policing is nil where policy is off: all traffic passes.
	Policing *Policing

	// Copy is the local copy found at the start; its GUID is empty when there
	// was none. CopyPath is where the next one is written; empty: nowhere.
	Copy     store.Copy
	CopyPath string
	// Patience is how long a start waits for the store before it goes on with
	// the local copy.
	Patience time.Duration

	// Detections are how the host's own addresses were found; nil: all are
	// configured.
	Detections func() []Detection
	// Stations are those that monitor us; nil: none can.
	Stations func() []bgp.StationState
	// Dump writes the speaker's table as a file; nil: it cannot be had.
	Dump func(w io.Writer, node string, asn uint32, routerID netip.Addr) error

	Levels Levels
	Health *telemetry.Health
	Logger hclog.Logger
}

// Levels changes what is logged.
type Levels interface {
	// Set sets the level of a subsystem, of all when it is empty.
	Set(subsystem, level string) error
}

// Agent is what a daemon does on a host, or on a reflector.
type Agent struct {
	opts    Options
	log     hclog.Logger
	started time.Time

	view      *view.View
	blocks    *view.Blocks // nil on a reflector
	feed      *feed
	node      *node
	stages    *stages
	workloads *workloads // nil on a reflector
	learned   *learned   // nil on a reflector
	sessions  *sessions
	reflects  *reflection
	cutting   *cutting   // nil where no connection is ever cut
	firewalls *firewalls // nil where nobody looks at those of others

	routerID atomic.Pointer[netip.Addr] // that BGP was started with; nil before

	known   chan struct{} // closed when it is known which endpoints the node has
	serving chan struct{} // closed when the speaker runs and holds the first originations
}

// New returns an Agent that does nothing until Run.
func New(opts Options) *Agent {
	if opts.Patience == 0 {
		opts.Patience = 3 * time.Second
	}
	opts.Identity = opts.Identity.withClusterID()
	log := opts.Logger
	a := &Agent{
		opts: opts, log: log, started: time.Now(),
		view: view.New(opts.Identity.Name), stages: newStages(),
		known: make(chan struct{}), serving: make(chan struct{}),
	}
	a.feed = newFeed(opts.Store, a.view, opts.Copy, opts.Health, log.Named("feed"))
	a.node = newNode(opts.Identity, opts.LeaseTTL, opts.Store, a.feed, opts.Health, log.Named("node"))
	a.sessions = &sessions{
		node: opts.Identity.Name, own: opts.Identity.own(), options: opts.BGP,
		view: a.view, speaker: opts.Speaker, exports: newExports(), levels: opts.Levels, log: log.Named("sessions"), applied: make(chan struct{}),
		moved: make(chan struct{}, 1), sawNode: a.node.saw,
	}
	a.sessions.retire = newRetirement(opts.Identity.Name, opts.BGP.RetireTime, opts.Table != nil, opts.Speaker, log.Named("retire"))
	a.reflects = a.newReflection()
	if p := opts.Policing; p != nil && p.Flows != nil {
		a.cutting = &cutting{table: p.Table, flows: p.Flows, log: log.Named("cutting")}
	}
	if p := opts.Policing; p != nil && p.Firewalls != nil {
		a.firewalls = &firewalls{table: p.Table, port: p.Firewalls, log: log.Named("firewalls")}
	}
	if opts.Table != nil {
		a.learned = newLearned(opts.Speaker, opts.Table, log.Named("learned"))
		a.learned.weigh()
		a.sessions.learned = a.learned
		a.blocks = view.NewBlocks(opts.Identity.Name)
		a.workloads = newWorkloads(a.view, a.blocks, opts.Table, opts.Interfaces, newOrigins(opts.Speaker, a.learned, a.sessions.exports), a.stages,
			a.police(), log.Named("workloads"))
		a.workloads.polices = opts.Policing != nil
	}
	return a
}

// police returns who says how far endpoints are policed.
func (a *Agent) police() police {
	if a.opts.Policing == nil {
		return unpoliced{}
	}
	a.view.Follow()
	return struct {
		*policy.Table
		gates
	}{a.opts.Policing.Table, a.opts.Policing.Resolver}
}

func (a *Agent) newReflection() *reflection {
	log := a.log.Named("reflection")
	owners := a.view.KeepOwners()
	blocks := newBlockOwners(a.opts.Store, a.feed, log)
	return &reflection{
		node: a.opts.Identity.Name, origin: a.opts.OriginCheck, view: a.view, owners: owners, blocks: blocks, feed: a.feed,
		sessions: a.sessions, speaker: a.opts.Speaker, checker: a.opts.Origins, alive: newAlive(a.opts.Store, a.feed, log),
		origins: reflector.NewOrigins(ownersOf{owners, blocks.owners}), reports: newReports(a.opts.Identity, a.opts.Store, a.feed, log), log: log,
	}
}

// Run works until ctx ends, and leaves everything in place. An error means
// that the daemon cannot go on.
func (a *Agent) Run(ctx context.Context) error {
	if a.opts.Copy.GUID != "" {
		a.view.Load(a.opts.Copy.KVs)
		if a.blocks != nil {
			a.blocks.Load(a.opts.Copy.KVs)
		}
		a.opts.Copy.KVs = nil // the view's now
	}
	tasks, ctx := errgroup.WithContext(ctx)
	run := func(name string, f func(context.Context) error) {
		tasks.Go(func() error {
			if err := f(ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	run("feed", a.feed.Run)
	run("probe", a.feed.Probe)
	run("node", a.node.Run)
	run("start", a.bringUp)
	run("sessions", func(ctx context.Context) error { return a.sessions.Run(ctx, a.serving) })
	own := &nodeStatus{node: a.opts.Identity.Name, store: a.opts.Store, feed: a.feed, retirement: a.sessions.retire, log: a.log.Named("status")}
	run("node status", own.Publish)
	run("other nodes", own.Follow)
	run("reflection", func(ctx context.Context) error { return a.reflects.Run(ctx, a.serving) })
	run("origin log", a.reflects.Log)
	run("leases", a.reflects.alive.Run)
	run("block owners", a.reflects.blocks.Run)
	run("reports", a.reflects.reports.Run)
	if a.opts.CopyPath != "" {
		c := &localCopy{path: a.opts.CopyPath, view: a.view, blocks: a.blocks, feed: a.feed, log: a.log.Named("copy"), delay: copyDelay}
		run("local copy", c.Run)
	}
	if a.opts.Table != nil {
		a.runDataplane(run)
	}
	return tasks.Wait()
}

func (a *Agent) runDataplane(run func(string, func(context.Context) error)) {
	s := newStatus(a.opts.Identity.Name, a.opts.Policing.name(), a.opts.Store, a.feed, a.stages, a.log.Named("status"))
	w := &sweep{
		view: a.view, table: a.opts.Table, speaker: a.opts.Speaker, sessions: a.sessions, learned: a.learned,
		limit: a.opts.BGP.Settings.WithDefaults().RestartTime, log: a.log.Named("sweep"),
	}
	own := &ownBlocks{store: a.opts.Store, feed: a.feed, blocks: a.blocks, log: a.log.Named("blocks")}
	run("own blocks", own.Run)
	run("own blocks asked", own.Answer)
	run("fib", a.opts.Table.Run)
	if p := a.opts.Policing; p != nil {
		edge := &policing{view: a.view, resolver: p.Resolver, table: p.Table, log: a.log.Named("policing")}
		run("policy", func(ctx context.Context) error { return edge.Run(ctx, a.known) })
		if a.cutting != nil {
			run("cutting", a.cutting.Run)
		}
		if a.firewalls != nil {
			run("firewalls", a.firewalls.Run)
		}
	}
	run("workloads", func(ctx context.Context) error { return a.workloads.Run(ctx, a.known) })
	run("learned", func(ctx context.Context) error { return a.learned.Run(ctx, a.serving) })
	run("sweep", func(ctx context.Context) error { return w.Run(ctx, a.serving) })
	run("status", s.Run)
}
