package iptables

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/projectvrouter/vrouter/policy"
)

// Counters implements policy.Dataplane. Rules of the kernel that stand for one
// rule of a policy, in several tables and both families, are added up.
func (d *Dataplane) Counters(ctx context.Context) ([]policy.Counter, error) {
	s := d.state
	if s == nil {
		return nil, errors.New("counters without a sync before")
	}
	keys := map[string]policyKey{} // by chain; those that belong to it begin with its name
	for key := range s.refs {
		keys[policyChain(key.id, key.direction)] = key
	}
	type counted struct {
		policyKey
		index int
	}
	var mu sync.Mutex
	sums := map[counted]*policy.Counter{}
	err := d.eachFamily(func(f *family) error {
		data, err := d.tools.save(ctx, f, "-c")
		mu.Lock()
		defer mu.Unlock()
		eachLine(data, func(table, string) {}, func(_ table, r saved) {
			key, ok := keys[r.chain[:min(len(r.chain), policyChainLength)]]
			index := indexOf(r.comment)
			if !ok || index < 0 {
				return
			}
			at := counted{key, index}
			if sums[at] == nil {
				sums[at] = &policy.Counter{Policy: key.id, Direction: key.direction, Rule: index}
			}
			sums[at].Packets += r.packets
			sums[at].Bytes += r.bytes
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]policy.Counter, 0, len(sums))
	for _, c := range sums {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b policy.Counter) int {
		return cmp.Or(strings.Compare(a.Policy.String(), b.Policy.String()),
			cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Rule, b.Rule))
	})
	return out, nil
}
