package ipam

import (
	"context"
	"errors"
	"slices"

	"github.com/projectvrouter/vrouter/internal/store"
)

// maxShared is how many calls one transaction serves: each has a few keys of
// its own beside the blocks, so that more would not fit.
const maxShared = 40

// storeOwn is how many compares a Store may add to a transaction of its own
// accord: a store.Gate one, a leader of its own another.
const storeOwn = 2

// errNoRoom is work that does not fit beside that of others.
var errNoRoom = errors.New("no room in the transaction")

// call is work that may be run with that of others.
type call struct {
	ctx     context.Context
	work    Work
	apart   bool            // it has turned out to be nothing for a transaction of many
	own     []store.Compare // that its work joined
	settled chan settlement // capacity 1; answered by whoever has taken the call
}

// settlement is what has become of a call.
type settlement struct {
	revision int64
	err      error
	open     bool // nothing: it is to be run again
}

// DoShared is Do for work that may share its transaction with other calls of
// DoShared: what waits for the turn of a node goes with whoever has it, so that
// many at once take few round trips. That is tried once, on what is remembered.
// Who would have to read more, writes nothing, is refused, or has part in a
// conflict is run by itself: nobody fails because of others, unless the store
// does.
func (c *Client) DoShared(ctx context.Context, node string, work Work) (int64, error) {
	l := c.lane(node)
	defer c.unuse(l)
	me := &call{ctx: ctx, work: work, settled: make(chan settlement, 1)}
	for {
		if !me.apart {
			c.wait(l, me)
		}
		select {
		case s := <-me.settled:
			if !s.open {
				return s.revision, s.err
			}
		case <-l.turn:
			defer func() { l.turn <- struct{}{} }()
			return c.lead(l, node, me)
		case <-ctx.Done():
			if !me.apart && !c.withdraw(l, me) {
				if s := <-me.settled; !s.open { // who runs it is not to be left with it
					return s.revision, s.err
				}
			}
			return 0, store.Waited(ctx, "earlier calls for node "+node)
		}
	}
}

// lead runs a call whose turn it is, with those that wait.
func (c *Client) lead(l *lane, node string, me *call) (int64, error) {
	if !me.apart && !c.withdraw(l, me) {
		if s := <-me.settled; !s.open { // just before the turn came
			return s.revision, s.err
		}
	}
	if l.reads != nil && !me.apart {
		if others := c.takeWaiting(l, maxShared-1); len(others) > 0 {
			calls := append([]*call{me}, others...)
			c.together(l, node, calls)
			if s := <-me.settled; !s.open {
				return s.revision, s.err
			}
		}
	}
	return c.alone(me.ctx, l, node, me.work)
}

// together runs calls as one transaction and settles each of them.
func (c *Client) together(l *lane, node string, calls []*call) {
	// Others depend on it: it goes on when the caller has gone.
	ctx := context.WithoutCancel(calls[0].ctx)
	reads := l.reads
	l.reads = nil // until it has proved right
	env, err := c.env(ctx, true)
	if err != nil {
		settle(calls, settlement{open: true})
		return
	}
	step := NewStep(reads, env)
	with := step.share(calls)
	if len(with) == 0 {
		l.reads = reads
		return
	}
	compares, ops, err := step.Txn()
	if err != nil {
		settleApart(with)
		return
	}
	revision, err := c.store.Txn(ctx, compares, ops)
	switch {
	case err == nil:
		reads.wrote(step, ops, revision)
		c.remember(l, node, reads)
		settle(with, settlement{revision: revision})
	case errors.Is(err, store.ErrConflict):
		settleConflict(with, err)
	case errors.Is(err, store.ErrTooLarge):
		settleApart(with)
	default: // it may have taken place
		settle(with, settlement{err: err})
	}
}

func settle(calls []*call, s settlement) {
	for _, call := range calls {
		call.settled <- s
	}
}

func settleApart(calls []*call) {
	for _, call := range calls {
		call.apart = true
		call.settled <- settlement{open: true}
	}
}

// settleConflict sets apart who has brought in what was in the way; all, if that
// is nobody's own.
func settleConflict(calls []*call, err error) {
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		owns := func(c store.Compare) bool { return c.Key == conflict.Key }
		guilty := slices.IndexFunc(calls, func(c *call) bool { return slices.ContainsFunc(c.own, owns) })
		if guilty >= 0 {
			settleApart(calls[guilty : guilty+1])
			settle(calls[:guilty], settlement{open: true})
			settle(calls[guilty+1:], settlement{open: true})
			return
		}
	}
	settleApart(calls)
}

// share runs the work of calls on the step, as far as there is room, and
// returns those that have part in it. The others are settled.
func (s *Step) share(calls []*call) []*call {
	var with []*call
	for i, call := range calls {
		err := s.shareOne(call)
		var need *NeedError
		switch {
		case err == nil:
			with = append(with, call)
		case errors.As(err, &need):
			settle(calls[i:i+1], settlement{open: true})
		case errors.Is(err, errNoRoom):
			settle(calls[i:], settlement{open: true})
			return with
		default:
			settleApart(calls[i : i+1])
		}
	}
	return with
}

// errNothing is work that writes nothing: whether it was right to, no
// transaction tells.
var errNothing = errors.New("nothing to write")

// shareOne runs the work of one call, whole or not at all.
func (s *Step) shareOne(call *call) error {
	env, compares, ops, written := s.Env, s.compares, s.ops, len(s.order)+len(s.ops)
	err := s.attempt(func() error {
		if err := call.work(call.ctx, s); err != nil {
			return err
		}
		s.Env = env
		if len(s.order)+len(s.ops) == written {
			return errNothing
		}
		return s.room()
	})
	s.Env = env
	if err != nil {
		s.compares, s.ops = compares, ops
		return err
	}
	call.own = slices.Clone(s.compares[len(compares):])
	return nil
}

// room returns errNoRoom when the transaction is larger than the store takes it,
// and another error when two of those who joined write the same key.
func (s *Step) room() error {
	weight := s.weight()
	for _, op := range s.ops {
		weight += len(op.Key) + len(op.Value)
	}
	if !s.Fits(0) || len(s.order)+len(s.ops) > store.MaxOps || weight > maxWeight {
		return errNoRoom
	}
	return store.CheckTxn(nil, s.ops)
}
