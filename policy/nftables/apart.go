package nftables

import (
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// mostExpressions is NFT_RULE_MAXEXPRS: a rule with more has the kernel refuse
// all that is written with it.
const mostExpressions = 128

// mostProduct is up to how many rules of the kernel one becomes for the lengths
// of prefixes in its sets: those of one set times those of the others.
const mostProduct = 64

// tooLong tells whether the kernel would refuse one of the alternatives.
func tooLong(alternatives [][]clause, tail []clause) bool {
	return slices.ContainsFunc(alternatives, func(match []clause) bool {
		return expressions(match)+expressions(tail) > mostExpressions
	})
}

// product is the lengths of one set times those of the others.
func (s *state) product(r *policy.Rule) int {
	sum := 0
	for _, f := range []*family{ipv4, ipv6} {
		n := 1
		for _, e := range []end{source, destination} {
			for _, id := range sideOf(r, e).Sets {
				n *= len(s.lengths(id, f))
			}
		}
		sum += n
	}
	return sum
}

func expressions(clauses []clause) int {
	n := 0
	for _, c := range clauses {
		n += len(c.exprs)
	}
	return n
}

// apart renders a rule in chains of its own. The first begins by leaving it for
// members of what the rule excludes, and goes to a chain for each set in turn:
// what is not in it has left the rule. So there is one look for each length, and
// a packet passes each chain once.
func (s *state) apart(name string, r *policy.Rule, tail []clause) []*chain {
	rest := *r
	c := &chain{name: name}
	c.rules = s.exclusions(r)
	matches := [][][]clause{nil}
	for _, e := range []end{source, destination} {
		for _, id := range sideOf(r, e).Sets {
			matches = append(matches, s.inSet(e, id))
		}
		side := sideOf(&rest, e)
		side.Sets, side.NotSets, side.NotPortSets = nil, nil, nil
	}
	matches[0] = s.alternatives(&rest)
	var chains []*chain
	decides := slices.Concat(tail, []clause{leave()})
	for n, alternatives := range matches {
		chains = append(chains, c)
		does, index, next := decides, r.Index, c
		if n+1 < len(matches) {
			next = &chain{name: apartChain(name, n+1)}
			does, index = []clause{goTo(next.name)}, -1
		}
		for _, match := range alternatives {
			c.rules = append(c.rules, rule{clauses: append(match, does...), index: index})
		}
		c = next
	}
	return chains
}

// exclusions leave a chain for members of what a rule excludes.
func (s *state) exclusions(r *policy.Rule) []rule {
	var out []rule
	for _, e := range []end{source, destination} {
		side := sideOf(r, e)
		for _, id := range side.NotSets {
			for _, match := range s.inSet(e, id) {
				out = append(out, newRule(append(match, leave())...))
			}
		}
		for _, f := range []*family{ipv4, ipv6} {
			for _, id := range side.NotPortSets {
				if len(s.lengths(id, f)) > 0 {
					out = append(out, newRule(matchFamily(f), matchPortSet(e, f, id, false), leave()))
				}
			}
		}
	}
	return out
}

// inSet renders the alternatives of being in a set.
func (s *state) inSet(e end, id policy.SetID) [][]clause {
	var out [][]clause
	for _, f := range []*family{ipv4, ipv6} {
		for _, bits := range s.lengths(id, f) {
			out = append(out, []clause{matchFamily(f), matchSet(e, f, bits, id)})
		}
	}
	return out
}

// callApart jumps to the chain of such a rule. What passes there, or would be
// decided by a staged policy, returns with a bit of the mark.
func (s *state) callApart(p *policy.Policy, r *policy.Rule, chain string) []rule {
	var bit uint32
	switch {
	case p.Staged && r.Action != policy.Log:
		bit = s.stagedBit()
	case r.Action == policy.Pass:
		bit = s.passBit()
	default:
		return []rule{newRule(jumpTo(chain))}
	}
	return []rule{newRule(setMark(bit, false), jumpTo(chain)), newRule(matchMark(bit), leave())}
}
