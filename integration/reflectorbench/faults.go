package reflectorbench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// Faulty clients begin again so often at most: ten times a second.
const faultInterval = 100 * time.Millisecond

// fault is a client that does wrong in every session, again and again.
type fault struct {
	limit   time.Duration // of one time, with the session that it needs
	opening func() opening
	commit  func(context.Context, *client) // what it does with a session, which is then closed
}

// beside measures churn among some clients while a fault is repeated, and how
// many sessions the faulty client got. For its first one it is waited: a target
// on a busy machine may need longer than the fault may last.
func (t *turn) beside(ctx context.Context, others []*client, f fault) ([]Metric, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := connect(ctx, t.host, f.opening())
	if err != nil {
		return nil, fmt.Errorf("the target took no session of the faulty client: %w", err)
	}
	sessions := make(chan int, 1)
	faulty, stop := context.WithCancel(ctx)
	defer stop()
	go func() { sessions <- f.repeat(faulty, t.host, first) }()
	metrics, err := t.churn(ctx, others)
	stop()
	n := <-sessions
	if err != nil {
		return nil, err
	}
	return append(append(metrics, t.toCalm(metrics)...), Metric{metricSessions, unitCount, float64(n)}), nil
}

// repeat commits the fault in a session that is up, and then in new ones until
// ctx ends. It returns in how many.
func (f fault) repeat(ctx context.Context, from *lab.Host, c *client) (sessions int) {
	tick := time.NewTicker(faultInterval)
	defer tick.Stop()
	for {
		turn, end := context.WithTimeout(ctx, f.limit)
		var err error
		if c == nil {
			c, err = dial(turn, from, f.opening())
		}
		if err == nil {
			sessions++
			f.commit(turn, c)
			c.close()
		}
		c = nil
		end()
		select {
		case <-ctx.Done():
			return sessions
		case <-tick.C:
		}
	}
}

// flaps measures churn among the others while a client loses its session and
// comes back with all its routes, ten times a second.
func flaps(ctx context.Context, t *turn) ([]Metric, error) {
	number := len(t.clients) - 1
	others := t.clients[:number]
	if _, err := t.leave(ctx, number); err != nil {
		return nil, err
	}
	t.forget(number)
	announcement := t.plan.appendEndOfRIB(t.plan.announcement(number, noMED))
	metrics, err := t.beside(ctx, others, fault{
		limit: faultInterval, opening: func() opening { return opening{table: t.newTable(number)} },
		commit: func(ctx context.Context, c *client) {
			if c.send(announcement) == nil {
				<-ctx.Done() // up for the rest of its time
			}
		},
	})
	if err != nil {
		return nil, err
	}
	for {
		_, err := t.comeBack(ctx, number, 0)
		if err == nil {
			return metrics, verify(t.clients, nobody)
		}
		// A target may take the last of the flaps for a collision with this one.
		select {
		case <-t.clients[number].done:
		default:
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
}

// limit is how many routes a client may announce where targets can be told.
func (p Plan) limit() int { return 2*p.Routes + 100 }

// excess measures churn among the others while one more client announces far
// more than its limit, again and again.
func excess(ctx context.Context, t *turn) ([]Metric, error) {
	defer t.tolerate()()
	number := t.plan.spare(excessive)
	var stream []byte
	end := t.plan.total() + t.plan.limit() + t.excess
	for from := t.plan.total(); from < end; {
		n := min(end-from, t.plan.perMessage())
		stream = t.plan.appendUpdate(stream, number, from-number*t.plan.Routes, n, noMED)
		from += n
	}
	metrics, err := t.beside(ctx, t.clients, fault{
		limit: t.duration, opening: t.stray(number),
		commit: func(ctx context.Context, c *client) {
			free := context.AfterFunc(ctx, func() { _ = c.conn.SetWriteDeadline(time.Unix(1, 0)) })
			defer free()
			if c.send(stream) == nil { // to be cut off is what this is about
				<-ctx.Done() // it was taken in
			}
		},
	})
	return t.settled(ctx, metrics, err)
}

// garbage measures churn among the others while one more client announces
// routes with wrong bytes in random places.
func garbage(ctx context.Context, t *turn) ([]Metric, error) {
	defer t.tolerate()()
	number := t.plan.spare(garbled)
	random := rand.New(rand.NewPCG(1, 2))
	metrics, err := t.beside(ctx, t.clients, fault{
		limit: faultInterval, opening: t.stray(number),
		commit: func(ctx context.Context, c *client) {
			var stream []byte
			for range 20 {
				stream = t.plan.appendUpdate(stream, number, random.IntN(1000), 1+random.IntN(20), 1+random.Uint32N(1000))
			}
			for range 1 + random.IntN(8) {
				stream[random.IntN(len(stream))] = byte(random.Uint32())
			}
			_ = c.send(stream)
			select {
			case <-c.done:
			case <-ctx.Done():
			}
		},
	})
	return t.settled(ctx, metrics, err)
}

// settled waits until all clients hold all, as sent last, and nothing of a
// faulty one any longer. Metrics and err are those of what came before.
func (t *turn) settled(ctx context.Context, metrics []Metric, err error) ([]Metric, error) {
	if err != nil {
		return nil, err
	}
	all, versions := holdsAll(nobody), t.hasVersions()
	if _, err := expect(t.clients, func(t *table) bool { return len(t.strays) == 0 && all(t) && versions(t) }).last(ctx); err != nil {
		return nil, err
	}
	return metrics, verify(t.clients, nobody)
}

// tolerate has all tables take in strangers' routes, until undo.
func (t *turn) tolerate() (undo func()) {
	for _, c := range t.clients {
		c.with(func(t *table) { t.strays = make(map[string]bool) })
	}
	return func() {
		for _, c := range t.clients {
			c.with(func(t *table) { t.strays = nil })
		}
	}
}

// stray opens sessions of a faulty client, whose table does not matter.
func (t *turn) stray(number int) func() opening {
	return func() opening {
		table := t.newTable(number)
		table.strays = make(map[string]bool)
		return opening{table: table}
	}
}
