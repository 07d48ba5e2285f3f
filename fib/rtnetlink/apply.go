package rtnetlink

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
)

// A send holds so many messages or bytes, whichever is reached first: beyond
// a thousand messages nothing is gained.
const (
	maxMessages = 1000
	maxBytes    = 512 << 10
)

// Apply implements fib.Kernel.
func (k *Kernel) Apply(ctx context.Context, changes []fib.Change) []error {
	k.writeMu.Lock()
	defer k.writeMu.Unlock()
	var errs []error
	fail := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(changes))
		}
		errs[i] = err
	}
	defer k.hear(ctx)
	b := builder{b: make([]byte, 0, min(len(changes), maxMessages)*96)}
	for from := 0; from < len(changes); {
		err := ctx.Err()
		to := from
		if err == nil {
			to, err = k.send(&b, changes, from, fail)
		}
		if err != nil { // of the rest nothing is known
			for i := from; i < len(changes); i++ {
				fail(i, describe(&changes[i], err))
			}
			break
		}
		from = to
	}
	return errs
}

// send writes the changes from the given one on, as many as fit one send, and
// returns which comes next.
func (k *Kernel) send(b *builder, changes []fib.Change, from int, fail func(int, error)) (next int, err error) {
	b.b = b.b[:0]
	first := k.write.seq + 1
	to := from
	for to < len(changes) && to-from < maxMessages && len(b.b) < maxBytes {
		c := &changes[to]
		if c.Object != nil {
			b.object(k.write.nextSeq(), c.Op, c.Object)
		} else {
			b.route(k.write.nextSeq(), c.Op, &c.Entry)
		}
		to++
	}
	b.setFlags(unix.NLM_F_ACK)
	last := k.write.seq
	if err := k.write.send(b.b); err != nil {
		return from, err
	}
	for {
		reply, err := k.write.receive()
		if err != nil {
			return from, err
		}
		for m, err := range messages(reply) {
			if err != nil {
				return from, err
			}
			i := m.seq - first
			if m.typ != unix.NLMSG_ERROR || i > last-first { // an answer to what was given up
				continue
			}
			c := &changes[from+int(i)]
			if err := refusal(c, ackError(m)); err != nil {
				fail(from+int(i), describe(c, err))
			}
			if m.seq == last {
				return to, nil
			}
		}
	}
}

// refusal says what an answer means for a change: what is gone need not be
// deleted.
func refusal(c *fib.Change, err error) error {
	switch {
	case err == nil:
		return nil
	case c.Op == fib.Delete && (errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)):
		return nil
	case c.Op == fib.Create && errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: %w", fib.ErrExists, err)
	}
	return err
}

// describe says what was being done to what.
func describe(c *fib.Change, err error) error {
	op := [...]string{fib.Create: "create", fib.Replace: "replace", fib.Delete: "delete"}[c.Op]
	switch {
	case c.Object == nil:
		return fmt.Errorf("%s route %s: %w", op, c.Entry.Prefix, err)
	case c.Object.IsGroup:
		return fmt.Errorf("%s next-hop group %d: %w", op, c.Object.ID, err)
	case c.Object.Hop.Gateway.IsValid():
		return fmt.Errorf("%s next hop %d via %s: %w", op, c.Object.ID, c.Object.Hop.Gateway, err)
	}
	return fmt.Errorf("%s next hop %d: %w", op, c.Object.ID, err)
}
