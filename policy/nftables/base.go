package nftables

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// Names of chains and sets that are there once. The stages of a hook are base
// chains one after the other: accept ends a stage and not the evaluation, so
// that it can be what Allow does wherever a policy is used.
const (
	rawChain            = "raw-prerouting"  // source check
	untrackedInChain    = "raw-untracked"   // untracked ingress
	notrackInChain      = "raw-notrack"     // what that let in
	rawOutputChain      = "raw-output"      // untracked egress
	notrackOutChain     = "raw-out-notrack" // what that let out
	preDNATChain        = "mangle-prednat"
	inputChain          = "input"         // egress of workloads, ingress of host endpoints
	toHostChain         = "input-to-host" // what workloads may do to their host
	forwardInChain      = "forward-in"    // ingress of host endpoints
	forwardFromChain    = "forward-from"  // egress of workloads
	forwardToChain      = "forward-to"    // ingress of workloads
	forwardOutChain     = "forward-out"   // egress of host endpoints
	outputChain         = "output"        // egress of host endpoints
	postroutingChain    = "nat-postrouting"
	undecidedChain      = "undecided" // early policy that says nothing
	sourceCheckChain    = "source-check"
	invalidInChain      = "invalid-in" // what belongs to no connection
	invalidForwardChain = "invalid-forward"
	invalidOutChain     = "invalid-out"
	servicesChain       = "host-services" // what a workload always gets from its host
	neighboursChain     = "neighbours"    // without it IPv6 has no link, as IPv4 without ARP
	tunnelChain         = "tunnels"       // they end here for nodes only
	failsafeInChain     = "failsafe-in"   // of host endpoints
	failsafeOutChain    = "failsafe-out"  //
	repliesInChain      = "replies-in"    // of failsafes and BGP, where nothing is tracked yet
	repliesOutChain     = "replies-out"   //
	peersInChain        = "peers-in"      // BGP and BFD
	peersOutChain       = "peers-out"     //
	workloadSet         = "workloads"     // interfaces with one endpoint
	fromWorkloadMap     = "from-workload" // to pipelines of egress
	toWorkloadMap       = "to-workload"   // to pipelines of ingress
	spoofMap            = "spoofs"        // to chains
	untrackedInMap      = "untracked-in"  // these to pipelines of host endpoints
	untrackedOutMap     = "untracked-out"
	preDNATMap          = "prednat"
	hostInMap           = "host-in"
	hostOutMap          = "host-out"
	hostForwardInMap    = "host-forward-in"
	hostForwardOutMap   = "host-forward-out"
)

// Priorities. Our stages of a hook come shortly before those who take the
// well-known priorities, so that they see only what policy lets through.
const (
	rawPriority    = -300
	manglePriority = -150
	filterPriority = -10
	natPriority    = 100 // srcnat: the translation that is asked first wins
)

func filterHook(name string, priority int32) *hook {
	return &hook{typ: "filter", name: name, number: hookNumbers(name), priority: priority}
}

// hookNumbers are those of netfilter's hooks.
func hookNumbers(name string) uint32 {
	switch name {
	case "prerouting":
		return unix.NF_INET_PRE_ROUTING
	case "input":
		return unix.NF_INET_LOCAL_IN
	case "forward":
		return unix.NF_INET_FORWARD
	case "output":
		return unix.NF_INET_LOCAL_OUT
	}
	return unix.NF_INET_POST_ROUTING
}

// baseChains renders what does not belong to one policy, pipeline or endpoint.
func (s *state) baseChains() []*chain {
	chains := []*chain{
		s.rawPrerouting(), s.sourceCheck(), s.services(), neighbours(),
		s.invalid(invalidInChain, hostInMap), s.invalid(invalidForwardChain, hostForwardInMap, hostForwardOutMap),
		s.invalid(invalidOutChain, hostOutMap),
		s.input(), s.forwardFrom(), s.forwardTo(), s.output(),
	}
	if s.settings.ToHost == policy.Deny {
		chains = append(chains, s.toHost())
	}
	if len(s.tunnels()) > 0 {
		chains = append(chains, s.tunnelEnd())
	}
	chains = append(chains, s.hostChains()...)
	if nat := s.postrouting(); len(nat.rules) > 0 {
		chains = append(chains, nat)
	}
	return chains
}

// established ends a stage for packets of connections that were let through.
func established() rule {
	return newRule(matchState("established,related",
		expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept())
}

// known begins the first stage of a hook: established connections pass, and
// what belongs to none is dropped where policy holds.
func (s *state) known(invalid string) []rule {
	rules := []rule{established()}
	if !s.settings.KeepInvalid {
		rules = append(rules, newRule(matchState("invalid", expr.CtStateBitINVALID), jumpTo(invalid)))
	}
	return rules
}

// invalid drops by interfaces that policy of workloads, or of host endpoints at
// one of these points, holds for.
func (s *state) invalid(name string, vmaps ...string) *chain {
	c := &chain{name: name}
	for _, vmap := range vmaps {
		p := pointOf(vmap)
		c.rules = append(c.rules, newRule(matchWorkload(p.device), counter(), drop()))
		c.rules = append(c.rules, s.unknown(p.device)...)
		others := []clause{matchInterface(p.device, "lo", true)}
		for _, iface := range s.hostNames() {
			if p.pipeline(s.hosts[iface]) != "" {
				c.rules = append(c.rules, newRule(matchInterface(p.device, iface, false), counter(), drop()))
			} else {
				others = append(others, matchInterface(p.device, iface, true))
			}
		}
		if all := s.hosts[policy.AnyInterface]; all != nil && p.pipeline(all) != "" {
			c.rules = append(c.rules, newRule(append(others, counter(), drop())...))
		}
	}
	return c
}

// unknown drops what is named like a workload's interface and is none.
func (s *state) unknown(d device) []rule {
	direction := policy.Egress
	if d == oif {
		direction = policy.Ingress
	}
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: direction, Rule: -1, Subject: policy.UnknownSubject}
	var out []rule
	for _, prefix := range s.settings.WorkloadPrefixes {
		clauses := append([]clause{matchInterfacePrefix(d, prefix), counter()}, s.log(flow)...)
		out = append(out, newRule(append(clauses, drop())...))
	}
	return out
}

// input is the first stage for packets to the host.
func (s *state) input() *chain {
	c := &chain{name: inputChain, base: filterHook("input", filterPriority), rules: s.known(invalidInChain)}
	for _, match := range s.tunnels() {
		c.rules = append(c.rules, newRule(append(match, jumpTo(tunnelChain))...))
	}
	c.rules = append(c.rules, newRule(matchWorkload(iif), jumpTo(servicesChain)))
	c.rules = append(c.rules, s.encapsulated()...)
	c.rules = append(c.rules, newRule(dispatch(iif, fromWorkloadMap)))
	c.rules = append(c.rules, s.unknown(iif)...)
	c.rules = append(c.rules, s.hostInput()...)
	return c
}

// toHost is the second stage: what egress of a workload lets through.
func (s *state) toHost() *chain {
	c := &chain{name: toHostChain, base: filterHook("input", filterPriority+1), rules: []rule{established()}}
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: policy.Egress, Rule: -1, Subject: policy.HostSubject}
	denied := append([]clause{matchWorkload(iif), counter()}, s.deny(flow)...)
	c.rules = append(c.rules,
		newRule(matchWorkload(iif), jumpTo(servicesChain)), newRule(denied...))
	return c
}

// forwardFrom is the stage of egress of workloads.
func (s *state) forwardFrom() *chain {
	c := &chain{name: forwardFromChain, base: filterHook("forward", filterPriority+1), rules: s.known(invalidForwardChain)}
	c.rules = append(c.rules, s.encapsulated()...)
	c.rules = append(c.rules, newRule(dispatch(iif, fromWorkloadMap)))
	c.rules = append(c.rules, s.unknown(iif)...)
	return c
}

// forwardTo is the stage of ingress of workloads.
func (s *state) forwardTo() *chain {
	c := &chain{name: forwardToChain, base: filterHook("forward", filterPriority+2), rules: []rule{established()}}
	c.rules = append(c.rules, newRule(dispatch(oif, toWorkloadMap)))
	c.rules = append(c.rules, s.unknown(oif)...)
	return c
}

// output is the stage for what the host sends: to its own workloads without
// their policy, to nowhere by an interface that is no endpoint's.
func (s *state) output() *chain {
	c := &chain{name: outputChain, base: filterHook("output", filterPriority), rules: s.known(invalidOutChain)}
	c.rules = append(c.rules, newRule(matchWorkload(oif), accept()))
	c.rules = append(c.rules, s.unknown(oif)...)
	c.rules = append(c.rules, s.hostOutput()...)
	return c
}
