package reflectorbench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// scenario is one thing that is measured. All of them run in order on the same
// target, and each leaves it with all clients up and all routes reflected.
type scenario struct {
	name, title string
	run         func(context.Context, *turn) ([]Metric, error)
	always      bool // the others stand on it
	fault       bool // of a client; nothing for a target that does not look at what it copies
}

// turn is a target that is being measured.
type turn struct {
	*generator
	rate     int           // updates a second, in churn
	duration time.Duration // of churn and of sustained updates
	excess   int           // routes that a client announces over its limit
	usage    func() (usage, error)
}

var scenarios = [...]scenario{
	{name: "idle", title: "idle sessions", run: idle},
	{name: convergence, title: "initial convergence", run: converge, always: true},
	{name: "late", title: "late joiner", run: lateJoiner},
	{name: "death", title: "client death", run: clientDeath}, // before the floor has much to look through
	{name: "churn", title: "churn at a rate", run: churn},
	{name: "sustained", title: "maximum sustained updates", run: sustained},
	{name: "slow", title: "slow client", run: slowClient},
	{name: "flaps", title: "client flaps ten times a second", run: flaps, fault: true},
	{name: "garbage", title: "client sends garbage", run: garbage, fault: true},
	{name: "excess", title: "client announces more than its limit", run: excess, fault: true},
}

// convergence is the scenario that memory per route is taken from.
const convergence = "converge"

// Scenarios are the names of all that can be measured, in order.
func Scenarios() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// Units of metrics.
const (
	unitSeconds = "s"
	unitMillis  = "ms"
	unitRate    = "1/s"
	unitMiB     = "MiB"
	unitBytes   = "B"
	unitPercent = "%"
	unitCount   = ""
	unitTimes   = "x"
)

// Names of metrics that are taken up again.
const (
	metricP99    = "p99"
	metricToCalm = "p99 to calm" // of churn beside a fault, by that of churn alone
)

// Figures that tell whether to believe the others, and are compared with none.
const (
	metricEchoes    = "echoes"        // own routes that came back to clients, which ignore them
	metricArrived   = "arrived"       // updates that were not superseded on their way, in percent
	metricBehind    = "behind"        // how late the generator sent at worst
	metricWithheld  = "withheld"      // from the slow client, by what another got
	metricGenerator = "generator cpu" // what the generator took from the target
	metricSessions  = "sessions"      // that the faulty client got
)

// Metric is one figure of a scenario.
type Metric struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

func seconds(name string, d time.Duration) Metric { return Metric{name, unitSeconds, d.Seconds()} }

// idle measures what sessions cost that have nothing to say.
func idle(ctx context.Context, t *turn) ([]Metric, error) {
	before, err := t.usage()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	select {
	case <-ctx.Done():
		return nil, errUnfinished
	case <-time.After(t.duration):
	}
	after, err := t.usage()
	if err != nil {
		return nil, err
	}
	share := 100 * (after.CPU - before.CPU).Seconds() / time.Since(start).Seconds()
	return []Metric{
		{"resident", unitMiB, float64(after.RSS) / (1 << 20)}, {"busy", unitPercent, share},
	}, nil
}

// converge measures from the first announcement, with all sessions up, until
// the last client holds all.
func converge(ctx context.Context, t *turn) ([]Metric, error) {
	messages := make([][]byte, len(t.clients))
	for i := range messages {
		messages[i] = t.plan.appendEndOfRIB(t.plan.announcement(i, noMED))
	}
	w := expect(t.clients, holdsAll(nobody))
	start := time.Now()
	last, err := w.lastAfter(ctx, t.sendAll(messages))
	if err != nil {
		return nil, err
	}
	echoes := 0
	for _, c := range t.clients {
		c.with(func(t *table) { echoes += t.echoes })
	}
	metrics := []Metric{
		seconds("time", last.Sub(start)), seconds("first route", t.first), {metricEchoes, unitCount, float64(echoes)},
	}
	return metrics, verify(t.clients, nobody)
}

// lateJoiner measures from the first connection attempt of one more client,
// and from its session being up, until it holds all.
func lateJoiner(ctx context.Context, t *turn) ([]Metric, error) {
	all := newGoal(holdsAll(nobody))
	start := time.Now()
	c, err := connect(ctx, t.host, opening{table: t.newTable(t.plan.spare(late)), goal: all})
	if err != nil {
		return nil, err
	}
	defer c.close()
	up := time.Now()
	last, err := wait{[]*client{c}, []<-chan time.Time{all.at}}.last(ctx)
	if err != nil {
		return nil, err
	}
	metrics := []Metric{
		seconds("time", last.Sub(start)),
		seconds("once up", max(last.Sub(up), 0)),
	}
	return metrics, verify([]*client{c}, nobody)
}

// churn measures how long single updates take to each client.
func churn(ctx context.Context, t *turn) ([]Metric, error) {
	metrics, err := t.churn(ctx, t.clients)
	if err != nil {
		return nil, err
	}
	t.calm = p99(metrics)
	return metrics, verify(t.clients, nobody)
}

// p99 among metrics; zero where there is none.
func p99(metrics []Metric) float64 {
	for _, m := range metrics {
		if m.Name == metricP99 {
			return m.Value
		}
	}
	return 0
}

// toCalm is how much worse the p99 of churn became by a fault.
func (t *turn) toCalm(metrics []Metric) []Metric {
	if t.calm == 0 { // churn by itself was not measured
		return nil
	}
	return []Metric{{metricToCalm, unitTimes, p99(metrics) / t.calm}}
}

// A slow client has a small receive buffer, so that the target feels soon that
// nobody reads: the kernel then takes some 100 KiB from the target. Before the
// others are measured, slowBytes are withheld; a target that is too slow for
// that is measured with less.
const (
	slowWindow = 4 << 10
	slowBytes  = 4 << 20
)

// slowClient measures churn among the others while one client does not read,
// and how long that one takes to catch up when it does again.
func slowClient(ctx context.Context, t *turn) ([]Metric, error) {
	if _, err := t.leave(ctx, 0); err != nil {
		return nil, err
	}
	if _, err := t.comeBack(ctx, 0, slowWindow); err != nil {
		return nil, err
	}
	slow, others := t.clients[0], t.clients[1:]
	before := others[0].taken()
	if err := slow.pause(); err != nil {
		return nil, err
	}
	if err := t.fill(ctx, others, slowBytes); err != nil {
		return nil, err
	}
	metrics, err := t.churn(ctx, others)
	if err != nil {
		return nil, err
	}
	withheld := float64(others[0].taken() - before)
	w := expect(t.clients[:1], t.hasVersions())
	start := time.Now()
	if err := slow.resume(); err != nil {
		return nil, err
	}
	last, err := w.last(ctx)
	if err != nil {
		return nil, err
	}
	metrics = append(metrics, t.toCalm(metrics)...)
	metrics = append(metrics, Metric{metricWithheld, unitMiB, withheld / (1 << 20)}, seconds("catch up", last.Sub(start)))
	return metrics, verify(t.clients, nobody)
}

// clientDeath measures from the end of a client's connection until all others
// have withdrawn its routes. Then it comes back, which is measured from its
// announcement until everybody has all again.
func clientDeath(ctx context.Context, t *turn) ([]Metric, error) {
	last := len(t.clients) - 1
	gone, err := t.leave(ctx, last)
	if err != nil {
		return nil, err
	}
	back, err := t.comeBack(ctx, last, 0)
	if err != nil {
		return nil, err
	}
	return []Metric{seconds("time", gone), seconds("back", back)}, verify(t.clients, nobody)
}

// quantiles are p50, p99 and the greatest of latencies, in milliseconds.
func quantiles(latency []time.Duration) []Metric {
	if len(latency) == 0 {
		return nil
	}
	slices.Sort(latency)
	at := func(name string, permille int) Metric {
		i := min(len(latency)*permille/1000, len(latency)-1)
		return Metric{name, unitMillis, float64(latency[i].Nanoseconds()) / 1e6}
	}
	return []Metric{at("p50", 500), at(metricP99, 990), at("max", 1000)}
}

// unknownScenario reports a name that is none.
func unknownScenario(names []string) error {
	for _, name := range names {
		if !slices.Contains(Scenarios(), name) {
			return fmt.Errorf("scenario %q is not known", name)
		}
	}
	return nil
}
