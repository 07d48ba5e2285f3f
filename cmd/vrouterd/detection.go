package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/agent"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// detector looks for the node's addresses where the configuration states none,
// at the start, and again when the host's addresses change. What it found first
// holds: sessions and other hosts know the node by it. A family that had none at
// the start, as before a lease is given, has the first one that comes.
type detector struct {
	host   *hostnet.Host
	opts   hostnet.DetectOptions
	stated bool // the configuration states an address
	log    hclog.Logger

	mu  sync.Mutex        // guards the rest
	was hostnet.Detection // what holds
	now hostnet.Detection
}

// settleTime is how long an address is waited for that the kernel is about to
// know for unique, at most: it takes a second or two after a link has come up,
// and forever on one without a cable.
const settleTime = 3 * time.Second

// newDetector looks for the addresses, and logs what it found and why. It must
// be closed.
func newDetector(ctx context.Context, cfg config.Config, log hclog.Logger) (*detector, error) {
	host, err := hostnet.Open(log, hostnet.KernelSysctls())
	if err != nil {
		return nil, err
	}
	d := &detector{host: host, opts: detectOptions(cfg), stated: cfg.Node.IPv4.IsValid() || cfg.Node.IPv6.IsValid(), log: log}
	if d.was, err = d.settled(ctx); err != nil {
		host.Close()
		return nil, fmt.Errorf("detect the node's addresses: %w", err)
	}
	d.now = d.was
	for _, f := range d.families() {
		d.tell(f)
	}
	return d, nil
}

// settled looks for the addresses until none is about to become usable.
func (d *detector) settled(ctx context.Context) (hostnet.Detection, error) {
	for until := time.Now().Add(settleTime); ; {
		found, err := d.host.Detect(ctx, d.opts)
		if err != nil || !found.IPv4.Settling && !found.IPv6.Settling || time.Now().After(until) {
			return found, err
		}
		select {
		case <-ctx.Done():
			return found, ctx.Err()
		case <-time.After(settleTime / 30):
		}
	}
}

// tell logs what was found of a family, and why.
func (d *detector) tell(f familyFound) {
	considered := describeCandidates(f.was.Candidates)
	switch {
	case f.was.Prefix.IsValid():
		d.log.Info("address of the node was detected", "family", f.name, "method", methodText(f.method),
			"address", f.was.Prefix, "interface", f.was.Interface, "reason", f.was.Reason, "considered", considered)
	case f.needed:
		d.log.Warn("no address of the node was detected, it is taken when it comes", "family", f.name, "method", methodText(f.method),
			"reason", f.was.Reason, "considered", considered)
	case f.method.Kind != "": // a host without a family is usual
		d.log.Info("no address of the node was detected", "family", f.name, "method", methodText(f.method),
			"reason", f.was.Reason, "considered", considered)
	}
}

func (d *detector) Close() { d.host.Close() }

// detectOptions is how the configuration wants addresses to be looked for.
func detectOptions(cfg config.Config) hostnet.DetectOptions {
	p := cfg.FIB.Protocols
	method := func(d config.Detection) hostnet.Method {
		return hostnet.Method{Kind: hostnet.MethodKind(d.Method), Destination: d.Destination, Interfaces: d.Interfaces, CIDRs: d.CIDRs}
	}
	return hostnet.DetectOptions{
		IPv4: method(cfg.Node.IPv4Detection), IPv6: method(cfg.Node.IPv6Detection),
		Own: []uint8{p.Workload, p.Overlay, p.BGP, p.Blackhole}, Workload: isWorkload(cfg.Workloads.InterfacePrefixes),
		Check: func(p netip.Prefix) error { // or the Node would not be accepted
			_, err := resource.ParseNodeAddress(p.String(), p.Addr().Is4())
			return err
		},
	}
}

// familyFound is what holds of a family, and what would be found now.
type familyFound struct {
	name     string
	method   hostnet.Method
	was, now hostnet.Found
	// needed: there is to be an address, since the configuration says how it is
	// found, or since there is none at all.
	needed bool
}

func (d *detector) families() []familyFound {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []familyFound{
		{"IPv4", d.opts.IPv4, d.was.IPv4, d.now.IPv4, false},
		{"IPv6", d.opts.IPv6, d.was.IPv6, d.now.IPv6, false},
	}
	none := !d.stated && !d.was.IPv4.Prefix.IsValid() && !d.was.IPv6.Prefix.IsValid()
	for i := range all {
		kind := all[i].method.Kind
		all[i].needed = kind != "" && (none || kind != hostnet.FirstFound)
	}
	return all
}

// missing reports whether an address is to be there, and is not.
func (f *familyFound) missing() bool { return f.needed && !f.was.Prefix.IsValid() }

// Identify puts what was found into id: beside what the configuration states
// where it chose the method, so that it is restored at every start as that is,
// and else where it only fills what the API leaves open.
func (d *detector) Identify(id *agent.Identity, n config.Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id.Detected.IPv4, id.Detected.IPv6 = d.was.IPv4.Prefix, d.was.IPv6.Prefix
	if n.IPv4Detection.Given && id.Detected.IPv4.IsValid() {
		id.Configured.IPv4 = id.Detected.IPv4
	}
	if n.IPv6Detection.Given && id.Detected.IPv6.IsValid() {
		id.Configured.IPv6 = id.Detected.IPv6
	}
}

// Run looks again when addresses change, and says what would be found now. It
// calls came when a family has its first address.
func (d *detector) Run(ctx context.Context, came func()) error {
	return d.host.FollowDetection(ctx, d.opts, func(now hostnet.Detection) time.Duration {
		if d.follow(now) {
			came()
		}
		if slices.ContainsFunc(d.families(), func(f familyFound) bool { return f.missing() }) {
			return missingPause
		}
		return 0
	})
}

// missingPause is how often an address that is missing is looked for without a
// change of addresses: that a destination's name is known, that there is a way,
// that a link is up, nobody tells.
const missingPause = 10 * time.Second

// follow takes in what is found now, and reports whether it holds for a family
// that had none.
func (d *detector) follow(now hostnet.Detection) (came bool) {
	before := d.families()
	d.mu.Lock()
	d.now = now
	for _, f := range []struct {
		was *hostnet.Found
		now hostnet.Found
	}{{&d.was.IPv4, now.IPv4}, {&d.was.IPv6, now.IPv6}} {
		if !f.was.Prefix.IsValid() { // also why there is none may have changed
			*f.was = f.now
		}
	}
	d.mu.Unlock()
	for i, f := range d.families() {
		switch {
		case f.now.Prefix == before[i].now.Prefix:
		case !before[i].was.Prefix.IsValid():
			came = true
			d.tell(f)
		case f.now.Prefix == f.was.Prefix:
			d.log.Info("address of the node would be detected as at first", "family", f.name, "address", f.now.Prefix)
		default:
			d.log.Warn("another address of the node would be detected now", "family", f.name,
				"address", f.now.Prefix, "reason", f.now.Reason, "address_at_first", f.was.Prefix)
		}
	}
	return came
}

// FollowInterfaces calls found with the host's interfaces that have addresses of
// their own, but for the loopback and those of workloads, at once and whenever
// they change, until ctx ends.
func (d *detector) FollowInterfaces(ctx context.Context, found func(map[string][]netip.Addr)) error {
	return d.host.FollowAddresses(ctx, func(all map[string][]netip.Addr) {
		maps.DeleteFunc(all, func(name string, _ []netip.Addr) bool { return name == "lo" || d.opts.Workload(name) })
		found(all)
	})
}

// State is what the agent shows.
func (d *detector) State() []agent.Detection {
	var all []agent.Detection
	for _, f := range d.families() {
		if f.method.Kind == "" {
			continue
		}
		s := agent.Detection{
			Family: f.name, Method: methodText(f.method), Address: f.was.Prefix, Interface: f.was.Interface, Reason: f.was.Reason,
		}
		for _, c := range f.was.Candidates {
			s.Candidates = append(s.Candidates, agent.DetectionCandidate(c))
		}
		s.Problem = f.problem()
		all = append(all, s)
	}
	return all
}

// problem says what is wrong with what was found: it would be another now, or
// there is none although the configuration says how to find it.
func (f *familyFound) problem() string {
	switch {
	case f.now.Prefix != f.was.Prefix:
		return fmt.Sprintf("detected %s address: it was %s at first, now it would be %s (%s)",
			f.name, prefixText(f.was), prefixText(f.now), f.now.Reason)
	case f.missing():
		return fmt.Sprintf("no %s address was detected by %s: %s", f.name, methodText(f.method), f.was.Reason)
	}
	return ""
}

func prefixText(f hostnet.Found) string {
	if !f.Prefix.IsValid() {
		return "none"
	}
	return f.Prefix.String()
}

// methodText renders a method as the configuration has it.
func methodText(m hostnet.Method) string {
	var arguments []string
	for _, e := range m.Interfaces {
		arguments = append(arguments, e.String())
	}
	for _, p := range m.CIDRs {
		arguments = append(arguments, p.String())
	}
	if m.Destination != "" {
		arguments = append(arguments, m.Destination)
	}
	if len(arguments) == 0 {
		return string(m.Kind)
	}
	return string(m.Kind) + "=" + strings.Join(arguments, ",")
}

// shownCandidates is how many a log line names: a host may have hundreds of
// addresses, and those that matter come first.
const shownCandidates = 16

// describeCandidates renders what was considered on one line.
func describeCandidates(all []hostnet.Candidate) string {
	var lines []string
	for i, c := range all {
		if i == shownCandidates {
			lines = append(lines, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", c.Interface, c.Prefix, c.Reason))
	}
	return strings.Join(lines, "; ")
}
