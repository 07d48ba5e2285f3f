package reflectorbench

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
)

// batchRoutes is how many routes a batch of sustained updates changes at most:
// enough to keep a fast target busy for tens of milliseconds.
const batchRoutes = 20_000

// slots is how many routes the scenarios change.
func (o Options) slots() int {
	return min(o.total(), max(batchRoutes, o.updates()))
}

// updates is how many churn sends.
func (o Options) updates() int { return int(float64(o.Rate) * o.Duration.Seconds()) }

// slot names the route of a slot: its owner, and its number there. Neighbouring
// slots belong to different clients.
func (g *generator) slot(slot int) (owner, number int) {
	return slot % g.plan.Clients, slot / g.plan.Clients
}

// hasVersions is the state of a table with all followed routes as they were
// sent last.
func (g *generator) hasVersions() func(*table) bool {
	return func(t *table) bool { return t.current(g.versions) }
}

// churn sends updates of one route each, at the rate, from these clients in
// turn, and returns how long they took to each of the others. Every update has
// a MED of its own, and so an attribute set of its own.
func (t *turn) churn(ctx context.Context, clients []*client) ([]Metric, error) {
	n := int(float64(t.rate) * t.duration.Seconds())
	j := &journal{start: time.Now(), first: t.version + 1, sent: make([]atomic.Int64, n)}
	for _, c := range clients {
		c.with(func(t *table) { t.follow, t.latency = j, make([]time.Duration, 0, n) })
	}
	behind, err := t.sendChurn(ctx, j, clients)
	if err != nil {
		return nil, err
	}
	if _, err := expect(clients, t.hasVersions()).last(ctx); err != nil {
		return nil, err
	}
	var latency []time.Duration
	for _, c := range clients {
		c.with(func(t *table) {
			latency = append(latency, t.latency...)
			t.follow, t.latency = nil, nil
		})
	}
	if len(latency) == 0 {
		return nil, fmt.Errorf("no update of %d arrived before another took its place", n)
	}
	return append(quantiles(latency),
		Metric{metricArrived, unitPercent, 100 * float64(len(latency)) / float64(n*(len(clients)-1))},
		Metric{metricBehind, unitMillis, float64(behind.Nanoseconds()) / 1e6}), nil
}

// sendChurn sends the updates of a journal, each when it is due, and returns by
// how much it was late at worst.
func (t *turn) sendChurn(ctx context.Context, j *journal, clients []*client) (behind time.Duration, err error) {
	by := make(map[int]*client, len(clients)) // those that send
	for _, c := range clients {
		by[c.number] = c
	}
	// A write blocks while the target does not read; the end of ctx frees it.
	stop := context.AfterFunc(ctx, func() {
		for _, c := range clients {
			_ = c.conn.SetWriteDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	interval := time.Second / time.Duration(t.rate)
	var message []byte
	slot := -1
	begin := time.Now()
	for n := range j.sent {
		var owner, number int
		for ok := false; !ok; _, ok = by[owner] {
			slot = (slot + 1) % len(t.versions)
			owner, number = t.slot(slot)
		}
		due := begin.Add(time.Duration(n) * interval)
		if early := time.Until(due); early > 0 {
			time.Sleep(early)
		}
		behind = max(behind, time.Since(due))
		t.version++
		t.versions[slot] = t.version
		message = t.plan.appendUpdate(message[:0], owner, number, 1, t.version)
		j.sent[n].Store(int64(time.Since(j.start)))
		if err := by[owner].send(message); err != nil {
			if ctx.Err() != nil {
				return behind, fmt.Errorf("%w: update %d of %d could not be sent", errUnfinished, n, len(j.sent))
			}
			return behind, err
		}
	}
	return behind, nil
}

// sustained measures how many updates a second the target passes on: batch by
// batch, each route of a batch in an UPDATE of its own, the next batch when
// every client has the one before. The routes of a client have the same
// attributes in a batch, and a target may pack them again.
func sustained(ctx context.Context, t *turn) ([]Metric, error) {
	b := t.newBatch(t.clients, false)
	start := time.Now()
	updates := 0
	for time.Since(start) < t.duration {
		if err := b.run(ctx); err != nil {
			return nil, err
		}
		updates += b.routes
	}
	rate := float64(updates) / time.Since(start).Seconds()
	return []Metric{{"updates", unitRate, rate}}, verify(t.clients, nobody)
}

// fill runs batches among clients until each was sent so many bytes, or the
// duration has passed. No route has the attributes of another.
func (t *turn) fill(ctx context.Context, clients []*client, size int64) error {
	b := t.newBatch(clients, true)
	before := clients[0].taken()
	for start := time.Now(); clients[0].taken()-before < size && time.Since(start) < t.duration; {
		if err := b.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// batch changes the followed routes of some clients all at once.
type batch struct {
	*turn
	clients  []*client
	distinct bool // each route has a version of its own, or all the same
	routes   int
	own      []int    // how many of them are a client's own, by number
	messages [][]byte // by number of the client; equal but for the MED
}

func (t *turn) newBatch(clients []*client, distinct bool) *batch {
	b := &batch{
		turn: t, clients: clients, distinct: distinct,
		own: make([]int, t.plan.Clients), messages: make([][]byte, t.plan.Clients),
	}
	sends := make([]bool, t.plan.Clients)
	for _, c := range clients {
		sends[c.number] = true
	}
	for slot := range t.versions {
		owner, number := t.slot(slot)
		if !sends[owner] {
			continue
		}
		b.routes++
		b.own[owner]++
		b.messages[owner] = t.plan.appendUpdate(b.messages[owner], owner, number, 1, t.version+1)
	}
	return b
}

// run sends the batch once, with new versions, and waits until it has arrived.
func (b *batch) run(ctx context.Context) error {
	first, step := b.version+1, uint32(0)
	b.version = first
	if b.distinct {
		step = 1
		b.version += uint32(len(b.versions) - 1)
	}
	for slot := range b.versions {
		if owner, _ := b.slot(slot); b.own[owner] > 0 {
			b.versions[slot] = first + step*uint32(slot)
		}
	}
	for owner, m := range b.messages {
		b.plan.setMED(m, first+step*uint32(owner), step*uint32(b.plan.Clients))
	}
	for _, c := range b.clients {
		c.with(func(t *table) { t.count(first) })
	}
	w := expect(b.clients, func(t *table) bool { return t.fresh == b.routes-b.own[t.self] })
	_, err := w.lastAfter(ctx, b.sendAll(b.messages))
	return err
}

// setMED changes the MED of UPDATEs with one route and a MED, as appendUpdate
// writes them; each gets that of the one before and step.
func (p Plan) setMED(messages []byte, med, step uint32) {
	at := headerLen + 4 + 4 + 3 + 3 // header, lengths, ORIGIN, AS_PATH, head of the attribute
	if !p.IPv6 {
		at += 3 + 4 // NEXT_HOP
	}
	for len(messages) > 0 {
		binary.BigEndian.PutUint32(messages[at:], med)
		med += step
		messages = messages[binary.BigEndian.Uint16(messages[16:]):]
	}
}
