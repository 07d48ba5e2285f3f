package nftables

import (
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// earlyChains renders the stages of untracked and preDNAT policy.
func (s *state) earlyChains() []*chain {
	undecided := &chain{name: undecidedChain, rules: []rule{newRule(setMark(s.acceptedBit(), false))}}
	out := []*chain{s.rawOutput(), undecided}
	if s.isUsed(untrackedInMap) {
		c := &chain{name: untrackedInChain, base: filterHook("prerouting", rawPriority+1)}
		c.rules = append(c.rules, s.exceptWorkloads(iif)...)
		c.rules = append(c.rules, alwaysOpen(failsafeInChain, peersInChain, repliesInChain)...)
		c.rules = append(c.rules, s.decideEarly(untrackedInMap)...)
		out = append(out, c, s.replies(repliesInChain, s.settings.FailsafeOutbound, source), s.notrackStage(notrackInChain, "prerouting", rawPriority+2))
	}
	if s.isUsed(untrackedOutMap) {
		out = append(out, s.replies(repliesOutChain, s.settings.FailsafeInbound, destination),
			s.notrackStage(notrackOutChain, "output", rawPriority+1))
	}
	if s.isUsed(preDNATMap) {
		c := &chain{name: preDNATChain, base: filterHook("prerouting", manglePriority), rules: []rule{established()}}
		c.rules = append(c.rules, s.unlessAccepted()...)
		c.rules = append(c.rules, alwaysOpen(failsafeInChain, peersInChain)...)
		c.rules = append(c.rules, s.decideEarly(preDNATMap)...)
		out = append(out, c)
	}
	return out
}

// rawOutput is the stage of untracked egress. It is there with any early
// policy, because the outside of a tunnel inherits the mark of its inside.
func (s *state) rawOutput() *chain {
	c := &chain{name: rawOutputChain, base: filterHook("output", rawPriority)}
	c.rules = append(c.rules, newRule(matchMark(s.acceptedBit()), setMark(s.acceptedBit(), false)))
	if s.isUsed(untrackedOutMap) {
		c.rules = append(c.rules, s.exceptWorkloads(oif)...)
		c.rules = append(c.rules, alwaysOpen(failsafeOutChain, peersOutChain, repliesOutChain)...)
		c.rules = append(c.rules, s.decideEarly(untrackedOutMap)...)
	}
	return c
}

// notrackStage takes what was accepted out of connection tracking.
func (s *state) notrackStage(name, hook string, priority int32) *chain {
	return &chain{name: name, base: filterHook(hook, priority), rules: []rule{
		newRule(matchMark(s.acceptedBit()), notrack()),
	}}
}

// exceptWorkloads ends a stage for the interfaces of workloads.
func (s *state) exceptWorkloads(d device) []rule {
	rules := []rule{newRule(matchWorkload(d), accept())}
	for _, prefix := range s.settings.WorkloadPrefixes {
		rules = append(rules, newRule(matchInterfacePrefix(d, prefix), accept()))
	}
	return rules
}

// failsafeIn accepts what no policy of a host endpoint closes.
func (s *state) failsafeIn() *chain {
	c := &chain{name: failsafeInChain}
	for _, f := range s.settings.FailsafeInbound {
		c.rules = append(c.rules, failsafe(f, source, destination))
	}
	return c
}

func (s *state) failsafeOut() *chain {
	c := &chain{name: failsafeOutChain}
	for _, f := range s.settings.FailsafeOutbound {
		c.rules = append(c.rules, failsafe(f, destination, destination))
	}
	return c
}

// replies accepts the answers of failsafes of the other direction, and of BGP,
// where connections are not known yet. The end is that of the other's address.
func (s *state) replies(name string, failsafes []policy.Failsafe, other end) *chain {
	c := &chain{name: name}
	for _, f := range failsafes {
		c.rules = append(c.rules, failsafe(f, other, source))
	}
	for _, id := range []policy.SetID{policy.NodeSet, policy.PeerSet} {
		if ports := s.bgpPorts(); len(ports) > 0 {
			c.rules = append(c.rules, s.acceptOf(id, other, source, unix.IPPROTO_TCP, ports)...)
		}
	}
	return c
}

// failsafe matches the address of one end and the port of one.
func failsafe(f policy.Failsafe, addr, port end) rule {
	var clauses []clause
	if f.Net.IsValid() {
		clauses = append(clauses, matchFamily(familyOf(f.Net.Addr())), matchPrefix(addr, f.Net, false))
	}
	clauses = append(clauses, matchProtocol(f.Protocol, false),
		matchPorts(port, []policy.PortRange{{First: f.Port, Last: f.Port}}, false), accept())
	return newRule(clauses...)
}
