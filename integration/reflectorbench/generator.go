package reflectorbench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// generator is all clients of a target.
type generator struct {
	host    *lab.Host
	plan    Plan
	relaxed bool
	clients []*client
	version uint32 // last MED that was sent

	versions []uint32      // of the followed routes, by slot, as they were sent last
	first    time.Duration // that the first route took
	calm     float64       // p99 of churn with no fault, in milliseconds; zero: not measured
}

// connectAll brings all sessions up, but that of the late client.
func (g *generator) connectAll(ctx context.Context) error {
	g.clients = make([]*client, g.plan.Clients)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(64) // more at once overflow listeners' queues, and wait a second for TCP
	for i := range g.clients {
		group.Go(func() (err error) {
			g.clients[i], err = connect(ctx, g.host, opening{table: g.newTable(i)})
			return err
		})
	}
	return group.Wait()
}

func (g *generator) newTable(number int) *table {
	return newTable(g.plan, number, len(g.versions), g.relaxed)
}

func (g *generator) close() {
	for _, c := range g.clients {
		if c != nil {
			c.close()
		}
	}
}

// sendAll writes each client's messages, all at the same time, in the
// background: a target that stops reading holds up the clients for good.
func (g *generator) sendAll(messages [][]byte) <-chan error {
	var group errgroup.Group
	for i, c := range g.clients {
		if len(messages[i]) > 0 {
			group.Go(func() error { return c.send(messages[i]) })
		}
	}
	done := make(chan error, 1)
	go func() { done <- group.Wait() }()
	return done
}

// leave ends a client's session and waits until all others have withdrawn its
// routes. It returns how long that took.
func (g *generator) leave(ctx context.Context, number int) (time.Duration, error) {
	others := slices.Delete(slices.Clone(g.clients), number, number+1)
	w := expect(others, holdsAll(number))
	start := time.Now()
	g.clients[number].close()
	last, err := w.last(ctx)
	if err != nil {
		return 0, err
	}
	return last.Sub(start), verify(others, number)
}

// comeBack brings up a new session of a client that left, with that receive
// buffer, and waits until all clients hold all again. It returns how long that
// took from its announcement.
func (g *generator) comeBack(ctx context.Context, number, window int) (time.Duration, error) {
	c, err := connect(ctx, g.host, opening{table: g.newTable(number), window: window})
	if err != nil {
		return 0, err
	}
	g.clients[number] = c
	g.forget(number)
	w := expect(g.clients, holdsAll(nobody))
	start := time.Now()
	if err := c.send(g.plan.appendEndOfRIB(g.plan.announcement(number, noMED))); err != nil {
		return 0, err
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-c.done: // nobody will have its routes
			stop()
		case <-waiting.Done():
		}
	}()
	last, err := w.last(waiting)
	if err != nil && ctx.Err() == nil {
		select {
		case <-c.done:
			err = c.failure()
		default:
		}
	}
	return last.Sub(start), err
}

// forget is that a client announces its routes anew, without versions.
func (g *generator) forget(number int) {
	for slot := number; slot < len(g.versions); slot += g.plan.Clients {
		g.versions[slot] = noMED
	}
}

// wait is what some clients have yet to reach.
type wait struct {
	clients []*client
	at      []<-chan time.Time
}

// expect begins to wait for a state of these clients' tables; call it before
// what leads there.
func expect(clients []*client, reached func(*table) bool) wait {
	w := wait{clients: clients}
	for _, c := range clients {
		w.at = append(w.at, c.until(reached))
	}
	return w
}

// errUnfinished is a target that did not finish within the limit.
var errUnfinished = errors.New("did not finish")

// last returns when the last of the clients got there.
func (w wait) last(ctx context.Context) (time.Time, error) {
	var last time.Time
	for i, c := range w.clients {
		select {
		case at := <-w.at[i]:
			if at.After(last) {
				last = at
			}
		case <-c.done:
			return last, c.failure()
		case <-ctx.Done():
			return last, c.unfinished()
		}
	}
	return last, nil
}

// unfinished tells how far a client has come.
func (c *client) unfinished() (err error) {
	c.with(func(t *table) {
		err = fmt.Errorf("%w: client %d holds %d routes", errUnfinished, c.number, t.present)
		if n := len(t.strays); n > 0 {
			err = fmt.Errorf("%w and %d of a faulty client", err, n)
		}
	})
	return err
}

// lastAfter is last, for what the messages lead to that sendAll writes.
func (w wait) lastAfter(ctx context.Context, sent <-chan error) (time.Time, error) {
	at, err := w.last(ctx)
	if err != nil {
		return at, err
	}
	return at, <-sent
}

// warmUp announces a route of the first client and withdraws it, so that what
// a target puts off after sessions come up is over before it is measured. It
// keeps how long that took.
func (g *generator) warmUp(ctx context.Context) error {
	others := g.clients[1:]
	w := expect(others, func(t *table) bool { return t.present == 1 })
	start := time.Now()
	if err := g.clients[0].send(g.plan.appendUpdate(nil, 0, 0, 1, noMED)); err != nil {
		return err
	}
	at, err := w.last(ctx)
	if err != nil {
		return fmt.Errorf("announce the first route: %w", err)
	}
	g.first = at.Sub(start)
	w = expect(others, func(t *table) bool { return t.present == 0 })
	if err := g.clients[0].send(appendWithdrawal(nil, g.plan.IPv6, g.plan.appendNLRI(nil, 0, 0, 1))); err != nil {
		return err
	}
	if _, err = w.last(ctx); err != nil {
		return fmt.Errorf("withdraw the first route: %w", err)
	}
	return nil
}

// holdsAll is the state of a table with all routes, but those of a dead client.
func holdsAll(dead int) func(*table) bool {
	return func(t *table) bool { return t.present == t.wanted(dead) }
}

// verify checks the tables of clients, route by route.
func verify(clients []*client, dead int) error {
	var problems []error
	for _, c := range clients {
		c.with(func(t *table) { problems = append(problems, t.verify(dead)) })
	}
	return errors.Join(problems...)
}
