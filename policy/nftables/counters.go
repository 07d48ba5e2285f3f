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
	h, err := d.sock.readCounted()
	if err != nil {
		return nil, err
	}
	var out []policy.Counter
	for key := range s.refs {
		sums := map[int]policy.Counter{}
		for name := range d.units[policyChain(key.id, key.direction)] {
			c := h.chains[name]
			if c == nil {
				return nil, errForeign
			}
			for _, r := range c.rules {
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

// readCounted reads all rules with their counters.
func (s *socket) readCounted() (*held, error) {
	for range 5 {
		h := newHeld()
		err := errors.Join(s.readChains(h), s.readRules(h, ""))
		if !errors.Is(err, errInterrupted) {
			return h, err
		}
	}
	return nil, errInterrupted
}
