package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/agent"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// detector looks for the node's addresses where the configuration states none,
// at the start, and again when the host's addresses change. What it found at
// the start holds: sessions and other hosts know the node by it.
type detector struct {
	host *hostnet.Host
	opts hostnet.DetectOptions
	log  hclog.Logger
	was  hostnet.Detection // at the start

	mu  sync.Mutex // guards the rest
	now hostnet.Detection
}

// newDetector looks for the addresses, and logs what it found and why. It must
// be closed.
func newDetector(ctx context.Context, cfg config.Config, log hclog.Logger) (*detector, error) {
	host, err := hostnet.Open(log, hostnet.KernelSysctls())
	if err != nil {
		return nil, err
	}
	d := &detector{host: host, opts: detectOptions(cfg), log: log}
	if d.was, err = host.Detect(ctx, d.opts); err != nil {
		host.Close()
		return nil, fmt.Errorf("detect the node's addresses: %w", err)
	}
	d.now = d.was
	for _, f := range d.families() {
		considered := describeCandidates(f.was.Candidates)
		switch {
		case f.was.Prefix.IsValid():
			log.Info("address of the node was detected", "family", f.name, "method", methodText(f.method),
				"address", f.was.Prefix, "interface", f.was.Interface, "reason", f.was.Reason, "considered", considered)
		case f.method.Kind == hostnet.FirstFound: // a host without a family is usual
			log.Info("no address of the node was detected", "family", f.name, "method", methodText(f.method),
				"reason", f.was.Reason, "considered", considered)
		case f.method.Kind != "":
			log.Warn("no address of the node was detected", "family", f.name, "method", methodText(f.method),
				"reason", f.was.Reason, "considered", considered)
		}
	}
	return d, nil
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

// familyFound is what was, and is now, found of a family.
type familyFound struct {
	name     string
	method   hostnet.Method
	was, now hostnet.Found
}

func (d *detector) families() []familyFound {
	d.mu.Lock()
	defer d.mu.Unlock()
	return []familyFound{
		{"IPv4", d.opts.IPv4, d.was.IPv4, d.now.IPv4},
		{"IPv6", d.opts.IPv6, d.was.IPv6, d.now.IPv6},
	}
}

// Identify puts what was found at the start into id: beside what the
// configuration states where it chose the method, so that it is restored at
// every start as that is, and else where it only fills what the API leaves open.
func (d *detector) Identify(id *agent.Identity, n config.Node) {
	id.Detected.IPv4, id.Detected.IPv6 = d.was.IPv4.Prefix, d.was.IPv6.Prefix
	if n.IPv4Detection.Given && id.Detected.IPv4.IsValid() {
		id.Configured.IPv4 = id.Detected.IPv4
	}
	if n.IPv6Detection.Given && id.Detected.IPv6.IsValid() {
		id.Configured.IPv6 = id.Detected.IPv6
	}
}

// Run looks again when addresses change, and says what would be found now.
func (d *detector) Run(ctx context.Context) error {
	return d.host.FollowDetection(ctx, d.opts, func(now hostnet.Detection) {
		before := d.families()
		d.mu.Lock()
		d.now = now
		d.mu.Unlock()
		for i, f := range d.families() {
			if f.now.Prefix == before[i].now.Prefix {
				continue
			}
			if f.now.Prefix == f.was.Prefix {
				d.log.Info("address of the node would be detected as at the start", "family", f.name, "address", f.now.Prefix)
				continue
			}
			d.log.Warn("another address of the node would be detected now", "family", f.name,
				"address", f.now.Prefix, "reason", f.now.Reason, "address_at_start", f.was.Prefix)
		}
	})
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
		return fmt.Sprintf("detected %s address: it was %s at the start, now it would be %s (%s)",
			f.name, prefixText(f.was), prefixText(f.now), f.now.Reason)
	case !f.was.Prefix.IsValid() && f.method.Kind != hostnet.FirstFound:
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
