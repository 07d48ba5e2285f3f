package iptables

import (
	"maps"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/policy"
)

// A point is one of the places where policy of host endpoints holds: a chain
// that leads from interfaces to pipelines.
type point struct {
	table    table
	chain    string
	device   device
	pipeline func(*policy.HostEndpoint) string
}

var (
	untrackedIn  = point{rawTable, "vr-untracked-in", iif, func(h *policy.HostEndpoint) string { return h.Untracked.Ingress }}
	untrackedOut = point{rawTable, "vr-untracked-out", oif, func(h *policy.HostEndpoint) string { return h.Untracked.Egress }}
	preDNAT      = point{mangleTable, "vr-prednat", iif, func(h *policy.HostEndpoint) string { return h.PreDNAT }}
	normalIn     = point{filterTable, "vr-host-from", iif, func(h *policy.HostEndpoint) string { return h.Normal.Ingress }}
	normalOut    = point{filterTable, "vr-host-to", oif, func(h *policy.HostEndpoint) string { return h.Normal.Egress }}
	forwardIn    = point{filterTable, "vr-forward-from", iif, func(h *policy.HostEndpoint) string { return h.Forward.Ingress }}
	forwardOut   = point{filterTable, "vr-forward-to", oif, func(h *policy.HostEndpoint) string { return h.Forward.Egress }}
)

func points() []point {
	return []point{untrackedIn, untrackedOut, preDNAT, normalIn, normalOut, forwardIn, forwardOut}
}

// isUsed tells whether any host endpoint says something at the point.
func (s *state) isUsed(p point) bool {
	for _, h := range s.hosts {
		if p.pipeline(h) != "" {
			return true
		}
	}
	return false
}

// hasEarly tells whether packets are decided on before connection tracking or
// before translation.
func (s *state) hasEarly() bool {
	return s.isUsed(untrackedIn) || s.isUsed(untrackedOut) || s.isUsed(preDNAT)
}

// hostNames are the interfaces with a host endpoint of their own.
func (s *state) hostNames() []string {
	names := slices.Sorted(maps.Keys(s.hosts))
	return slices.DeleteFunc(names, func(name string) bool { return name == policy.AnyInterface || !canMatch(name) })
}

// invalidChain drops what belongs to no connection.
func (p point) invalidChain() string {
	return chainPrefix + "invalid-" + strings.TrimPrefix(p.chain, chainPrefix)
}

// eachInterface calls for what matches an interface, and the pipeline of its
// host endpoint at the point, which may be empty: its own, or that for any.
func (s *state) eachInterface(p point, f func(match, id string)) {
	for _, name := range s.hostNames() {
		f(p.device.is(name), p.pipeline(s.hosts[name]))
	}
	if all := s.hosts[policy.AnyInterface]; all != nil && p.pipeline(all) != "" {
		f(p.device.isNot("lo"), p.pipeline(all))
	}
}

// pointChain leads from interfaces to the pipelines of a point.
func (s *state) pointChain(p point) *chain {
	c := newChain(p.chain)
	s.eachInterface(p, func(match, id string) {
		if id == "" {
			c.add(match, "-j RETURN")
		} else {
			c.add(match, "-g "+pipelineChain(id))
		}
	})
	return c
}
