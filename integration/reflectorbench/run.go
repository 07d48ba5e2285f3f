package reflectorbench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// Options say what is measured.
type Options struct {
	Plan
	Targets   []Target
	Scenarios []string // initial convergence always runs, since the others stand on it
	Rounds    int
	Rate      int           // updates a second in churn
	Duration  time.Duration // of churn, and of sustained updates
	Excess    int           // routes that a client announces over its limit
	Timeout   time.Duration // of one scenario, and of all sessions coming up
	Logf      func(format string, args ...any)
}

// Check reports what cannot be measured.
func (o Options) Check() error {
	switch {
	case len(o.Targets) == 0:
		return errors.New("targets: there are none")
	case o.Rounds < 1:
		return fmt.Errorf("rounds: %d is less than one", o.Rounds)
	case o.Rate < 1 || o.updates() < 1:
		return fmt.Errorf("rate: %d a second for %v is no update", o.Rate, o.Duration)
	}
	if err := errors.Join(unknownScenario(o.Scenarios), o.Plan.Check()); err != nil {
		return err
	}
	if most := maxRoutes - o.limit() - o.total(); o.Excess < 1 || o.Excess > most {
		return fmt.Errorf("excess: %d is not between one and %d", o.Excess, most)
	}
	return nil
}

// Result is what one scenario gave for one target in one round.
type Result struct {
	Target   string   `json:"target"`
	Scenario string   `json:"scenario"`
	Round    int      `json:"round"`
	Metrics  []Metric `json:"metrics,omitempty"`
	Error    string   `json:"error,omitempty"` // why there are none
}

// Run measures all targets in turn, in each round, and returns what it has
// when ctx ends. A target's failure is in its results.
func Run(ctx context.Context, o Options) ([]Result, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	var results []Result
	for round := range o.Rounds {
		// Each target comes first in some round.
		first := round % len(o.Targets)
		for _, target := range slices.Concat(o.Targets[first:], o.Targets[:first]) {
			o.Logf("round %d: %s", round+1, target.Name)
			results = append(results, o.measure(ctx, target, round)...)
			if ctx.Err() != nil {
				return results, ctx.Err()
			}
		}
	}
	return results, nil
}

// measure runs the scenarios on a target, in a lab of its own.
func (o Options) measure(ctx context.Context, target Target, round int) []Result {
	var results []Result
	add := func(scenario string, metrics []Metric, err error) {
		r := Result{Target: target.Name, Scenario: scenario, Round: round, Metrics: metrics}
		if err != nil {
			r.Metrics, r.Error = nil, err.Error()
		}
		results = append(results, r)
	}
	var failed error
	if missing := target.missing(); missing != "" {
		failed = fmt.Errorf("not measured: this machine lacks %s", missing)
	} else {
		failed = lab.Main(ctx, o.Logf, func(t lab.T) { o.turn(t, target, add) })
	}
	if failed != nil {
		o.Logf("round %d: %s: %v", round+1, target.Name, failed)
	}
	for _, s := range o.chosen()[len(results):] {
		if failed == nil {
			failed = errNotMeasured
		}
		add(s.name, nil, failed)
		failed = nil
	}
	return results
}

// errNotMeasured says that an earlier failure has been told.
var errNotMeasured = errors.New("not measured after a failure")

// errNoPart is of a target that hands on whatever it gets.
var errNoPart = errors.New("not measured: it does not look at what it copies")

// chosen are the scenarios to run.
func (o Options) chosen() []scenario {
	var list []scenario
	for _, s := range scenarios {
		if s.always || slices.Contains(o.Scenarios, s.name) {
			list = append(list, s)
		}
	}
	return list
}

// turn starts a target, connects the clients, and runs the scenarios until one
// fails.
func (o Options) turn(t lab.T, target Target, add func(string, []Metric, error)) {
	l := lab.New(t, "rbench")
	reflector, clients := o.site(l)
	processes := target.Start(t, reflector, o.Plan)
	g := &generator{host: clients, plan: o.Plan, relaxed: target.Relaxed, versions: make([]uint32, o.slots())}
	defer g.close()
	ctx, cancel := context.WithTimeout(t.Context(), o.Timeout)
	err := g.connectAll(ctx)
	if err == nil {
		err = g.warmUp(ctx)
	}
	cancel()
	if err != nil {
		t.Fatalf("%v\n%s", err, output(processes))
	}
	for _, s := range o.chosen() {
		if s.fault && target.Relaxed {
			add(s.name, nil, errNoPart)
			continue
		}
		metrics, err := o.scenario(t.Context(), s, g, processes)
		if err == nil {
			err = running(processes)
		}
		add(s.name, metrics, err)
		if err != nil {
			t.Logf("%s: %s: %v\n%s", target.Name, s.name, err, output(processes))
			return
		}
	}
}

// site makes the two hosts, and gives the clients' one all their addresses: a
// local route is as good as a thousand of them on an interface.
func (o Options) site(l *lab.Lab) (reflector, clients *lab.Host) {
	reflector, clients = l.Host("target"), l.Host("clients")
	l.Link(reflector.Port("eth0", targetIPv4+"/24", targetIPv6+"/64"),
		clients.Port("eth0", generatorIPv4+"/24", generatorIPv6+"/64"))
	for _, s := range []struct{ prefix, gateway string }{{clientsIPv4, generatorIPv4}, {clientsIPv6, generatorIPv6}} {
		clients.MustRun("ip", "route", "add", "local", s.prefix, "dev", "lo")
		reflector.AddRoute(s.prefix, s.gateway)
	}
	clients.SetSysctl("net.ipv6.ip_nonlocal_bind", "1") // a local route lets IPv4 bind, IPv6 looks at interfaces alone
	return reflector, clients
}

// scenario runs one, and adds to its metrics what it cost.
func (o Options) scenario(ctx context.Context, s scenario, g *generator, processes []*lab.Process) ([]Metric, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	used := func() (usage, error) { return usageOf(processes) }
	before, err := used()
	if err != nil {
		return nil, err
	}
	forgetPeaks(processes)
	own := ownCPU()
	metrics, err := s.run(ctx, &turn{generator: g, rate: o.Rate, duration: o.Duration, excess: o.Excess, usage: used})
	if err != nil {
		return nil, err
	}
	generator := ownCPU() - own
	after, err := used()
	if err != nil {
		return nil, err
	}
	metrics = append(metrics,
		seconds("cpu", after.CPU-before.CPU), seconds(metricGenerator, generator),
		Metric{"peak", unitMiB, float64(after.Peak) / (1 << 20)})
	if s.name == convergence {
		perRoute := float64(after.RSS-before.RSS) / float64(o.total())
		metrics = append(metrics, Metric{"per route", unitBytes, max(perRoute, 0)})
	}
	return metrics, nil
}

// running reports a process of the target that has ended.
func running(processes []*lab.Process) error {
	for _, p := range processes {
		if !p.Running() {
			return fmt.Errorf("%s has ended: %w", p.Name, p.Wait())
		}
	}
	return nil
}
