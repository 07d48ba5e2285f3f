package server

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// alwaysFit is how many changed addresses fit into a transaction, whatever blocks
// they are of: each may write its key, a block and an affinity. What is too large
// with no more is so for another reason.
const alwaysFit = 24

// errDryRun ends a write that would have succeeded.
var errDryRun = errors.New("dry run")

// endpointWrite is an endpoint that is being written: spec, address keys,
// blocks and handle are one transaction, so that nothing needs rolling back. It
// is decided upon again whenever somebody else is faster.
type endpointWrite struct {
	*writer
	change  change
	checked *resource.WorkloadEndpoint
	holder  holder

	base  *endpointBase  // what the present try stands on; nil: to be read
	tries int            // trusts no guess after the first
	avoid []netip.Prefix // free of address management's, and held by endpoints all the same

	out     outcome
	changed int           // addresses that the last try takes or gives up
	low     *ipam.Request // a reserve for it would be of use
}

// endpointBase is what a try has read beside the keys of address management.
type endpointBase struct {
	old    stored
	had    []netip.Addr // addresses of old
	labels labels
}

// putEndpoint performs a change of an endpoint.
func (w *writer) putEndpoint(ctx context.Context, c change, checked *resource.WorkloadEndpoint) (outcome, error) {
	e := &endpointWrite{writer: w, change: c, checked: checked, holder: holderOf(checked.ID)}
	if len(checked.Addresses) > 0 && c.addresses != nil {
		return outcome{}, invalid("allocate", "is for endpoints that state no address")
	}
	if n := len(checked.Addresses); n > maxAddresses {
		return outcome{}, invalid("spec.ipNetworks", "%d addresses, at most %d are allowed", n, maxAddresses)
	}
	e.readAhead(ctx)
	revision, err := w.ipam.DoShared(ctx, checked.Node, e.run)
	if locked := (&resource.LockedError{}); errors.As(err, &locked) && e.tries == 1 {
		// It was guessed to be new. If it stands as it shall, nothing is to be written.
		e.base = nil
		revision, err = w.ipam.DoShared(ctx, checked.Node, e.run)
	}
	switch {
	case errors.Is(err, errDryRun):
		return e.out, nil
	case errors.Is(err, store.ErrTooLarge) && e.changed > alwaysFit:
		return outcome{}, invalid("spec.ipNetworks",
			"%d addresses to be taken or given up, of more blocks than fit into one transaction: change fewer at once", e.changed)
	case err != nil:
		return outcome{}, err
	case !e.out.unchanged:
		e.out.revision = revision
	}
	resource.SetVersion(e.out.msg, e.out.revision)
	if e.low != nil {
		w.spares.keep(*e.low)
	}
	return e.out, nil
}

// readAhead reads before it is this endpoint's turn, so that others need not
// wait for it. Mostly an endpoint is new: if it may be, that is guessed, and the
// transaction tells. What goes wrong here goes wrong again then, or not.
func (e *endpointWrite) readAhead(ctx context.Context) {
	env, err := e.settings.Env(ctx)
	if err != nil {
		return
	}
	if fresh := (stored{id: e.checked.ID}); e.change.allowed(fresh) == nil {
		e.base = &endpointBase{old: fresh}
		e.tries++
	} else if e.read(ctx) != nil {
		return
	}
	_ = e.base.labels.read(ctx, e.writer, env, e.checked.Node, e.checked.Namespace)
}

// run decides on what there is now.
func (e *endpointWrite) run(ctx context.Context, s *ipam.Step) error {
	if err := e.insidePools(s.Env.Pools, e.checked.Addresses); err != nil {
		return err
	}
	if e.base == nil {
		if err := e.read(ctx); err != nil {
			return err
		}
	}
	if err := e.base.labels.read(ctx, e.writer, s.Env, e.checked.Node, e.checked.Namespace); err != nil {
		return err
	}
	err := e.decide(ctx, s)
	if need := (&ipam.NeedError{}); !errors.As(err, &need) {
		e.base = nil // by the next run somebody has changed something
	}
	return err
}

// read reads what a try stands on, and refuses what cannot be at all.
func (e *endpointWrite) read(ctx context.Context) error {
	old, err := e.stored(ctx, e.checked.ID)
	if err != nil {
		return err
	}
	if err := e.change.allowed(old); err != nil {
		return err
	}
	had := statedAddresses(old.msg)
	if old.msg == nil { // it may be there and not say; its keys do
		keys, err := e.addressKeys(ctx, old)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if a, err := store.ParseAddressKey(key); err == nil {
				had = append(had, a)
			}
		}
	}
	e.base = &endpointBase{old: old, had: had}
	e.tries++
	return nil
}

// statedAddresses returns the addresses that a stored endpoint states.
func statedAddresses(msg proto.Message) []netip.Addr {
	w, _ := msg.(*vrouterv1.WorkloadEndpoint)
	var list []netip.Addr
	for _, text := range w.GetSpec().GetIpNetworks() {
		if p, err := netip.ParsePrefix(text); err == nil { // else it was never taken
			list = append(list, p.Addr())
		}
	}
	return list
}

// decide makes the transaction. What may ask for more to be read comes first.
func (e *endpointWrite) decide(ctx context.Context, s *ipam.Step) error {
	addresses, taken, err := e.addressesOn(ctx, s)
	if err != nil {
		return err
	}
	e.changed = differences(addresses, e.base.had)
	msg := proto.Clone(e.change.msg).(*vrouterv1.WorkloadEndpoint)
	msg.Spec.IpNetworks = nil
	for _, a := range addresses {
		msg.Spec.IpNetworks = append(msg.Spec.IpNetworks, netip.PrefixFrom(a, a.BitLen()).String())
	}
	old := e.base.old
	next := resource.Successor(msg, old.msg)
	e.out = outcome{msg: next, revision: old.revision, created: old.revision == 0,
		warnings: keptBeside(e.change.addresses, e.base.had, s.Env.Pools)}
	e.out.unchanged = old.msg != nil && resource.SameStored(old.msg, next)
	var t txn
	t.compare(resourceKey(old.id), old.revision)
	if !e.out.unchanged {
		value, err := resource.Encode(next)
		if err != nil {
			return err
		}
		t.put(resourceKey(old.id), value)
		err = e.claim(ctx, &t, old, addresses, e.tries > 1)
		if held := (&heldError{}); errors.As(err, &held) && slices.Contains(taken, held.address) {
			return e.passOver(ctx, held.address)
		}
		if err != nil {
			return err
		}
	}
	s.Join(t.compares, t.ops)
	if !e.change.dryRun {
		return nil
	}
	compares, ops, err := s.Txn()
	if err == nil {
		_, err = e.commit(ctx, e.store, txn{compares, ops}, true)
	}
	if err == nil {
		err = errDryRun
	}
	return err
}

// differences counts what is in one list only.
func differences(a, b []netip.Addr) int {
	n := 0
	for _, x := range a {
		if !slices.Contains(b, x) {
			n++
		}
	}
	for _, x := range b {
		if !slices.Contains(a, x) {
			n++
		}
	}
	return n
}

// removeEndpoint deletes an endpoint with its status, its address keys, and
// what its handle holds.
func (w *writer) removeEndpoint(ctx context.Context, id resource.ID, version string) (stored, error) {
	first, err := w.stored(ctx, id)
	if err != nil {
		return stored{}, err
	}
	node := ""
	if first.msg != nil {
		node = first.msg.(*vrouterv1.WorkloadEndpoint).GetSpec().GetNode()
	}
	var last stored
	more := false // is left of the handle
	remove := func(withHandle bool) error {
		_, err := w.ipam.Do(ctx, node, func(ctx context.Context, s *ipam.Step) (err error) {
			if more = !withHandle; withHandle {
				if more, err = releaseAll(s, holderOf(id).handle); err != nil {
					return err
				}
			}
			var t txn
			if last, err = w.removal(ctx, &t, id, version); err != nil {
				return err
			}
			if err := w.release(ctx, &t, last); err != nil {
				return err
			}
			s.Join(t.compares, t.ops)
			return nil
		})
		return err
	}
	err = remove(true)
	if errors.Is(err, store.ErrTooLarge) { // addresses of very many blocks
		err = remove(false)
	}
	if err == nil && more {
		w.releaseLeft(ctx, node, holderOf(id).handle, statedAddresses(last.msg))
	}
	return last, err
}

// releaseLeft gives back what a handle still holds of the addresses of an
// endpoint that has gone, but for those that an endpoint has again. What fails
// is collected later.
func (w *writer) releaseLeft(ctx context.Context, node, handle string, addresses []netip.Addr) {
	for _, a := range addresses {
		_, _ = w.ipam.Do(ctx, node, func(ctx context.Context, s *ipam.Step) error {
			kv, err := w.holding(ctx, store.AddressKey(a))
			if err != nil || kv.ModRevision != 0 {
				return err
			}
			s.Join(noHolder([]netip.Addr{a}), nil)
			return s.Release(ipam.Release{Address: a, Handle: handle})
		})
	}
}
