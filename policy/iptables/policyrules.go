package iptables

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// policyChains renders the rules of a policy in one direction, for one table
// of one family.
func (s *state) policyChains(at place, key policyKey, l listing) []*chain {
	w := ruleWriter{state: s, at: at, key: key, lists: l, main: newChain(policyChain(key.id, key.direction))}
	w.out = []*chain{w.main}
	if w.policy = s.policies[key.id]; w.policy != nil {
		rules := w.policy.Rules(key.direction)
		for i := range rules {
			w.rule(&rules[i])
		}
	}
	return w.out // without rules nothing matches, and the tier goes on
}

// ruleWriter renders one policy.
type ruleWriter struct {
	*state
	at     place
	key    policyKey
	policy *policy.Policy
	lists  listing
	main   *chain
	out    []*chain // main is the first
}

// rule renders one rule: in one line where one can say it. Where a criterion
// has alternatives that no one match holds, chains follow one another, each
// with the alternatives of one criterion, that lead on to the next.
func (w *ruleWriter) rule(r *policy.Rule) {
	match, choices, ok := w.matches(r)
	if !ok {
		return
	}
	target := w.target(r)
	if len(choices) == 0 {
		w.main.rules = append(w.main.rules, w.counting(r, match, target))
		return
	}
	name := func(n int) string { return fmt.Sprintf("%s-%d%c", w.main.name, r.Index, 'b'+n) }
	w.main.add(match, "-j "+name(0))
	if bit := w.bitOf(r); bit != 0 {
		w.main.add(hasMark(bit), "-j RETURN")
	}
	for n, choice := range choices {
		c := newChain(name(n))
		for _, one := range choice {
			c.add(one, "-g "+name(n+1))
		}
		w.out = append(w.out, c)
	}
	w.out = append(w.out, newChain(name(len(choices)), w.counting(r, "", target)))
}

func (w *ruleWriter) counting(r *policy.Rule, match, target string) rule {
	return rule{match: match, target: target, index: r.Index, note: policy.FlowSubject(w.key.id)}
}

// target is what the rule does with what it matched.
func (w *ruleWriter) target(r *policy.Rule) string {
	flow := policy.FlowPrefix{Action: r.Action, Direction: w.key.direction, Rule: r.Index, Subject: policy.FlowSubject(w.key.id)}
	switch {
	case w.policy.Staged && r.Action == policy.Log:
		return ""
	case w.policy.Staged:
		return "-g " + stagedChain
	case r.Action == policy.Allow:
		return "-g " + allowChain
	case r.Action == policy.Pass:
		return "-g " + passChain
	case r.Action == policy.Log:
		return w.log(flow)
	case w.settings.FlowGroup == 0:
		return w.deny(w.at)
	}
	denial := newChain(fmt.Sprintf("%s-%da", w.main.name, r.Index))
	denial.add("", w.log(flow))
	denial.add("", w.deny(w.at))
	w.out = append(w.out, denial)
	return "-g " + denial.name
}

// bitOf is the bit by which a rule says that it has decided.
func (w *ruleWriter) bitOf(r *policy.Rule) uint32 {
	switch {
	case r.Action == policy.Log || r.Action == policy.Deny && !w.policy.Staged:
		return 0
	case w.policy.Staged:
		return w.stagedBit()
	case r.Action == policy.Pass:
		return w.passBit()
	}
	return w.allowBit()
}

// log sends the first bytes of a packet to the NFLOG group; without one it is
// nothing.
func (s *state) log(flow policy.FlowPrefix) string {
	if s.settings.FlowGroup == 0 {
		return ""
	}
	return fmt.Sprintf("-j NFLOG --nflog-group %d --nflog-prefix %s --nflog-size %d",
		s.settings.FlowGroup, quote(flow.String()), snaplen)
}

// snaplen holds the headers of any packet, with options and extensions.
const snaplen = 128

// deny drops, or rejects where the kernel can.
func (s *state) deny(at place) string {
	if s.settings.Reject && at.table == filterTable {
		return "-j REJECT --reject-with " + at.family.prohibited
	}
	return "-j DROP"
}

// matches renders what all must hold, and the criteria of which each is a list
// of alternatives; not ok is a rule that does not hold in this family, at least
// with the members that sets have.
func (w *ruleWriter) matches(r *policy.Rule) (match string, choices [][]string, ok bool) {
	v4, v6 := r.Families()
	if w.at.family == ipv4 && !v4 || w.at.family == ipv6 && !v6 {
		return "", nil, false
	}
	all, ok := w.protocol(r)
	if !ok || !w.hasMembers(r) {
		return "", nil, false
	}
	for _, e := range ends() {
		side := e.side(r)
		nets, ok := w.nets(e, side)
		if !ok {
			return "", nil, false
		}
		all = append(all, nets...)
		all = append(all, w.sets(e, side)...)
		all = append(all, matchPorts(e, side.NotPorts, true)...)
		if len(side.Ports)+len(side.PortSets) == 0 {
			continue
		}
		some := matchPorts(e, side.Ports, false)
		for _, id := range w.asked(side.PortSets) {
			some = append(some, matchPortSet(e, setName(w.at.family, portsLetter, id), false))
		}
		if len(some) == 1 {
			all = append(all, some[0])
		} else {
			choices = append(choices, some)
		}
	}
	match = and(all...)
	for _, choice := range choices {
		for i := range choice { // each chain anew has to ask before it asks for ports
			choice[i] = and(protocolOf(r), choice[i])
		}
	}
	return match, choices, true
}

func (w *ruleWriter) protocol(r *policy.Rule) (all []string, ok bool) {
	asksPorts := func(s *policy.Side) bool { return len(s.Ports)+len(s.NotPorts) > 0 }
	switch {
	case r.Protocol != 0 && r.Protocol == r.NotProtocol:
		return nil, false
	case (r.ICMP != nil || r.NotICMP != nil) && r.Protocol != w.at.family.icmp:
		return nil, false // no packet of this family is of that protocol
	case (asksPorts(&r.Source) || asksPorts(&r.Destination)) && !hasPorts(r.Protocol):
		return nil, false
	case r.Protocol != 0:
		all = append(all, protocolOf(r))
	case r.NotProtocol != 0:
		all = append(all, matchProtocol(r.NotProtocol, true))
	}
	if r.ICMP != nil {
		all = append(all, matchICMP(w.at.family, r.ICMP, false))
	}
	if r.NotICMP != nil {
		all = append(all, matchICMP(w.at.family, r.NotICMP, true))
	}
	return all, true
}

func protocolOf(r *policy.Rule) string {
	if r.Protocol == 0 {
		return ""
	}
	return matchProtocol(r.Protocol, false)
}

// nets renders networks: one as it is, several as a set.
func (w *ruleWriter) nets(e end, side *policy.Side) (all []string, ok bool) {
	f := w.at.family
	yes, no := netsOf(side.Nets, f), netsOf(side.NotNets, f)
	if slices.ContainsFunc(no, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		return nil, false
	}
	switch len(yes) {
	case 0:
	case 1:
		all = append(all, matchNet(e, yes[0], false))
	default:
		all = append(all, matchSet(e, w.lists.set(f, yes), false))
	}
	switch {
	case len(no) == 0:
	case len(no) == 1 && len(yes) != 1: // iptables takes only one -s
		all = append(all, matchNet(e, no[0], true))
	default:
		all = append(all, matchSet(e, w.lists.set(f, no), true))
	}
	return all, true
}

func (w *ruleWriter) sets(e end, side *policy.Side) []string {
	var all []string
	name := func(id policy.SetID) string { return setName(w.at.family, kindLetter(w.state.sets[id].kind), id) }
	for _, id := range side.Sets {
		all = append(all, matchSet(e, name(id), false))
	}
	for _, id := range w.asked(side.NotSets) {
		all = append(all, matchSet(e, name(id), true))
	}
	for _, id := range w.asked(side.NotPortSets) {
		all = append(all, matchPortSet(e, setName(w.at.family, portsLetter, id), true))
	}
	return all
}

// asked leaves the sets that are asked for in this family, see state.asks.
func (w *ruleWriter) asked(ids []policy.SetID) (out []policy.SetID) {
	for _, id := range ids {
		if w.asks(w.at.family, id) {
			out = append(out, id)
		}
	}
	return out
}

// hasMembers tells whether the sets of a rule can hold anything in this family.
func (w *ruleWriter) hasMembers(r *policy.Rule) bool {
	for _, e := range ends() {
		side := e.side(r)
		if len(w.asked(side.Sets)) < len(side.Sets) ||
			len(side.Ports) == 0 && len(side.PortSets) > 0 && len(w.asked(side.PortSets)) == 0 {
			return false
		}
	}
	return true
}
