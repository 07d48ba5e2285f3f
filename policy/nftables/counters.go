package nftables

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/policy"
)

// Counters implements policy.Dataplane. Rules of the kernel that stand for one
// rule of a policy are added up: a packet is counted by one of them.
func (d *Dataplane) Counters(context.Context) ([]policy.Counter, error) {
	s := d.state
	if s == nil {
		return nil, errors.New("counters without a sync before")
	}
	var out []policy.Counter
	for key := range s.refs {
		sums := map[int]policy.Counter{}
		for name := range d.units[policyChain(key.id, key.direction)] {
			rules, err := d.sock.readCounted(name)
			if err != nil {
				return nil, err
			}
			for _, r := range rules {
				if index := indexOf(r.identity); index >= 0 {
					sum := sums[index]
					sum.Packets += r.packets
					sum.Bytes += r.bytes
					sums[index] = sum
				}
			}
		}
		for index, sum := range sums {
			sum.Policy, sum.Direction, sum.Rule = key.id, key.direction, index
			out = append(out, sum)
		}
	}
	slices.SortFunc(out, func(a, b policy.Counter) int {
		return cmp.Or(strings.Compare(a.Policy.String(), b.Policy.String()),
			cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Rule, b.Rule))
	})
	return out, nil
}

// readCounted reads the rules of a chain with their counters.
func (s *socket) readCounted(chain string) ([]heldRule, error) {
	h := &held{chains: map[string]*heldChain{chain: {}}}
	var err error
	for range readAttempts {
		if err = s.readRules(h, chain); !errors.Is(err, errInterrupted) {
			break
		}
	}
	return h.chains[chain].rules, err
}
