package server

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// configure refuses an IPAMConfiguration whose settings do not go together, and
// foreign ranges that a pool overlaps. It makes the transaction depend on no
// pool being added meanwhile.
func (w *writer) configure(ctx context.Context, t *txn, next *resource.IPAMConfiguration) error {
	bad := &resource.Invalid{}
	for _, p := range ipam.ConfigOf(next).Check() {
		bad.Problems = append(bad.Problems, resource.Problem{Path: p.Path, Reason: p.Reason})
	}
	guard, err := w.holding(ctx, settingsGuard)
	if err != nil {
		return err
	}
	t.compare(settingsGuard, guard.ModRevision)
	err = w.ranges(ctx, func(_ string, pool *vrouterv1.IPPool, cidr netip.Prefix) {
		for i, foreign := range next.Foreign {
			if foreign.Overlaps(cidr) {
				bad.Problems = append(bad.Problems, resource.Problem{Path: fmt.Sprintf("spec.foreignCIDRs[%d]", i),
					Reason: fmt.Sprintf("%s overlaps %s of IPPool %s", foreign, cidr, pool.GetMetadata().GetName())})
			}
		}
	})
	if err != nil {
		return err
	}
	if len(bad.Problems) > 0 {
		return bad
	}
	return nil
}
