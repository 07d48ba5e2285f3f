package agent

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/view"
)

// BGPOptions are the settings of sessions that stand in the configuration file.
type BGPOptions struct {
	Settings bgp.Settings // ASN, RouterID and Restarting are filled in at the start
	Peers    []*resource.BGPPeer
	// Defaults count for sessions where nothing else says otherwise.
	Defaults resource.SessionSettings
	// Secret is the content of a file in the host's directory of secrets, by
	// its name; nil: there is none. fs.ErrNotExist: there is no such file.
	Secret func(name string) ([]byte, error)
	// Accept are prefixes outside the pools whose routes are accepted and never
	// sent on.
	Accept []netip.Prefix
	// RetireTime is how long a session that is no longer wanted is kept at most
	// for the sake of either end; zero: it ends at once.
	RetireTime time.Duration
	// MeshWarning is the number of nodes from which a mesh is reported as too
	// large; zero: never.
	MeshWarning int
}

// secretsPause is how often files with secrets are read again. They belong to
// the host and tell nobody that they changed; ten seconds are short beside the
// time in which somebody changes both ends of a session.
const secretsPause = 10 * time.Second

// sessions is the edge fabric → BGP sessions, pools, and what our routes carry.
type sessions struct {
	node    string
	own     NodeFields // stands in for our Node while the store has none
	options BGPOptions
	view    *view.View
	speaker bgp.Speaker
	exports *exports
	learned *learned // nil on a reflector
	retire  *retirement
	levels  Levels
	log     hclog.Logger
	applied chan struct{}            // closed once the sessions of a store in sync were handed over
	moved   chan struct{}            // signalled when the fabric was applied
	sawNode func(own *resource.Node) // is called with our stored Node, nil without any

	// The rest, but what mu guards, belongs to Run.
	level    string // of the log, as set last
	drain    drain
	compiled bgp.FilterCache
	files    bool // the sessions depend on files

	mu       sync.Mutex // guards the rest
	wanted   []bgp.Session
	problems []string
	stage    string // of the drain; Run alone writes it
}

// Run applies the fabric whenever it changes, from the time that the first
// originations were made, and files with secrets soon after they change.
func (s *sessions) Run(ctx context.Context, start <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-start:
	}
	for {
		var timer <-chan time.Time
		if next := s.apply(); next > 0 {
			timer = time.After(next)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.view.FabricChanged():
			s.pools()
		case <-s.retire.news:
		case <-timer:
		}
	}
}

// fabric is the view's, with our own Node as the configuration has it where
// the store was not reached yet.
func (s *sessions) fabric() view.Fabric {
	f := s.view.Fabric()
	if f.Node(s.node) != nil || !s.own.IPv4.IsValid() && !s.own.IPv6.IsValid() {
		return f
	}
	own := &resource.Node{
		Meta:     resource.Meta{ID: resource.ID{Kind: resource.KindNode, Name: s.node}, Labels: s.own.Labels},
		ASNumber: s.own.ASNumber, IPv4: s.own.IPv4, IPv6: s.own.IPv6, RouteReflectorClusterID: s.own.ClusterID,
	}
	return f.With(own)
}

// pools states which prefixes may be exchanged.
func (s *sessions) pools() {
	f := s.view.Fabric()
	pools := poolsOf(f)
	for _, p := range s.options.Accept {
		pools = append(pools, bgp.Pool{Prefix: p, DisableExport: true})
	}
	s.speaker.SetPools(pools)
	s.exports.set(pools)
	s.exports.setModes(s.view.Pools)
}

// poolsOf is the stored pools: what hosts have addresses from.
func poolsOf(f view.Fabric) []bgp.Pool {
	var pools []bgp.Pool
	for _, p := range f.Pools {
		pools = append(pools, bgp.Pool{Prefix: p.CIDR, DisableExport: p.DisableBGPExport})
	}
	return pools
}

// apply states the sessions of the fabric as it is, and returns in what time
// they change by themselves; zero: they do not.
func (s *sessions) apply() (next time.Duration) {
	synced := s.view.IsSynced() // asked first: what is applied then is no older
	f := s.fabric()
	s.sawNode(f.Node(s.node))
	s.logLevel(f)
	s.exports.setCommunities(communities(f, s.node))
	if s.learned != nil {
		s.learned.setMaxPaths(maxPaths(f, s.node))
	}
	defer signal(s.moved)
	wanted, found := bgp.Sessions(s.input(f))
	stage, next := s.drainStage(f)
	if s.files {
		next = sooner(next, secretsPause)
	}
	problems := make([]string, 0, len(found))
	var refused []netip.AddrPort
	for _, p := range found {
		problems = append(problems, p.String())
		refused = append(refused, p.Refused...)
	}
	all := s.retire.step(wanted, refused, func(name string) bool { return f.Node(name) != nil }, time.Now())
	if len(all) > len(wanted) {
		next = sooner(next, retirePause)
	}
	all, wanted = s.drain.drained(all, stage), s.drain.drained(wanted, stage)
	problems = append(problems, s.meshProblems(wanted)...)
	if err := s.speaker.SetSessions(all); err != nil {
		s.log.Warn("sessions were not all applied", "error", err)
		problems = append(problems, err.Error())
	}
	s.mu.Lock()
	if !slices.Equal(s.problems, problems) && len(problems) > 0 {
		s.log.Warn("sessions have problems", "problems", problems)
	}
	s.wanted, s.problems, s.stage = wanted, problems, stage
	s.mu.Unlock()
	if !synced {
		return next
	}
	select {
	case <-s.applied:
	default:
		close(s.applied)
	}
	return next
}

// drainStage is how far our node is drained.
func (s *sessions) drainStage(f view.Fabric) (stage string, next time.Duration) {
	own := f.Node(s.node)
	if own == nil {
		return s.drain.step(nil, time.Now())
	}
	stage, next = s.drain.step(own.Drain, time.Now())
	if stage != s.stage {
		s.log.Info("drain changed", "stage", stage, "next_in", next)
	}
	return stage, next
}

// Drain is how far our node is drained; empty: it is not.
func (s *sessions) Drain() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stage
}

// sooner is the lesser of two pauses of which zero is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// input is what the sessions are a function of.
func (s *sessions) input(f view.Fabric) bgp.Input {
	s.files = false
	in := bgp.Input{
		Node: s.node, Nodes: f.Nodes, Peers: f.Peers, Configurations: f.Configurations,
		PeerGroups: f.Groups, Filters: f.Filters, Secrets: f.Secrets,
		Groups: f.ReflectorGroups, Memberships: f.Memberships,
		ConfigPeers: s.options.Peers, Defaults: s.options.Defaults, Compiled: &s.compiled,
	}
	if s.options.Secret != nil {
		in.File = func(name string) ([]byte, error) {
			s.files = true
			return s.options.Secret(name)
		}
	}
	return in
}

func (s *sessions) meshProblems(wanted []bgp.Session) []string {
	mesh := 0
	for _, w := range wanted {
		if w.Kind == bgp.Mesh {
			mesh++
		}
	}
	if limit := s.options.MeshWarning; limit > 0 && mesh >= limit {
		return []string{fmt.Sprintf("the mesh has %d sessions on this node: route reflectors are due", mesh)}
	}
	return nil
}

// logLevel follows the level that the settings of the node, else those of the
// cluster, give to what BGP logs. Without one it stays as it is.
func (s *sessions) logLevel(f view.Fabric) {
	own, cluster := configurations(f, s.node)
	level := cmp.Or(own.LogLevel, cluster.LogLevel)
	if level == "" || level == s.level {
		return
	}
	s.level = level
	if err := s.levels.Set(bgpSubsystem, level); err != nil {
		s.log.Warn("log level was not set", "level", level, "error", err)
	}
}

// bgpSubsystem is the name under which the speaker logs.
const bgpSubsystem = "bgp"

// await returns true once the sessions of a store in sync were handed over.
func (s *sessions) await(ctx context.Context) bool { return wait(ctx, s.applied) }

// Wanted returns the sessions last handed over and the problems found.
func (s *sessions) Wanted() ([]bgp.Session, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted, s.problems
}

// configurations returns the settings of the node and those of the cluster. Ones
// that there are not say nothing.
func configurations(f view.Fabric, node string) (own, cluster *resource.BGPConfiguration) {
	own, cluster = &resource.BGPConfiguration{}, &resource.BGPConfiguration{}
	for _, c := range f.Configurations {
		switch c.Name {
		case "node." + node:
			own = c
		case resource.DefaultName:
			cluster = c
		}
	}
	return own, cluster
}

// listenPort returns the port of the node's own settings, else of the
// cluster's; zero when neither gives one.
func listenPort(f view.Fabric, node string) uint16 {
	own, cluster := configurations(f, node)
	return cmp.Or(own.ListenPort, cluster.ListenPort)
}

// maxPaths returns how many equally good paths the node uses at once, as its
// own settings have it, else the cluster's; zero: any number.
func maxPaths(f view.Fabric, node string) int {
	own, cluster := configurations(f, node)
	return cmp.Or(own.MaxPaths, cluster.MaxPaths)
}

// asNumber returns the AS of the node: its own, else the cluster's.
func asNumber(f view.Fabric, own *resource.Node) uint32 {
	if own != nil && own.ASNumber != 0 {
		return own.ASNumber
	}
	_, cluster := configurations(f, "")
	return cmp.Or(cluster.ASNumber, resource.DefaultASNumber)
}
