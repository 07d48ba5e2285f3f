package telemetry

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Health is what a daemon knows of its readiness, as named conditions, and of
// its liveness, as checks that are run when somebody asks. It is also a
// prometheus.Collector of the conditions.
type Health struct {
	mu         sync.Mutex // guards the rest; never held while a check runs
	conditions map[string]Condition
	checks     map[string]Check
	changed    chan struct{} // closed and replaced at each change
}

// Condition is one thing that has to hold for a daemon to be ready.
type Condition struct {
	Name   string
	Ready  bool
	Reason string // why not, or a remark
}

// Check returns an error when the process can only be mended by a restart,
// such as a loop that no longer turns. It must end with ctx.
type Check func(ctx context.Context) error

// NewHealth returns a Health that waits for these conditions: none of them is
// ready before it is set. Without any condition a daemon is not ready.
func NewHealth(conditions ...string) *Health {
	h := &Health{conditions: map[string]Condition{}, checks: map[string]Check{}, changed: make(chan struct{})}
	for _, name := range conditions {
		h.conditions[name] = Condition{Name: name, Reason: "not reported yet"}
	}
	return h
}

// Set states a condition. The same again changes nothing.
func (h *Health) Set(name string, ready bool, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := Condition{Name: name, Ready: ready, Reason: reason}
	if old, ok := h.conditions[name]; ok && old == c {
		return
	}
	h.conditions[name] = c
	close(h.changed)
	h.changed = make(chan struct{})
}

// Ready tells whether every condition holds, and returns them by name.
func (h *Health) Ready() (bool, []Condition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ready := len(h.conditions) > 0
	var all []Condition
	for _, name := range slices.Sorted(maps.Keys(h.conditions)) {
		all = append(all, h.conditions[name])
		ready = ready && h.conditions[name].Ready
	}
	return ready, all
}

// Changed returns a channel that is closed when a condition changes. Ask for
// it before Ready, so that no change is missed between.
func (h *Health) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// AddCheck adds a check of liveness.
func (h *Health) AddCheck(name string, check Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = check
}

// Live runs every check and returns the errors by name; none when all is well.
func (h *Health) Live(ctx context.Context) map[string]error {
	h.mu.Lock()
	checks := maps.Clone(h.checks)
	h.mu.Unlock()
	faults := map[string]error{}
	for name, check := range checks {
		if err := check(ctx); err != nil {
			faults[name] = err
		}
	}
	return faults
}

// String returns the condition as a line for people.
func (c Condition) String() string {
	s := c.Name + ": ready"
	if !c.Ready {
		s = c.Name + ": not ready"
	}
	if c.Reason != "" {
		s += ": " + oneLine(c.Reason)
	}
	return s
}

// oneLine keeps reasons, which may come from anywhere, in their line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Describe implements prometheus.Collector.
func (h *Health) Describe(ch chan<- *prometheus.Desc) { ch <- conditionDesc() }

// Collect implements prometheus.Collector.
func (h *Health) Collect(ch chan<- prometheus.Metric) {
	_, conditions := h.Ready()
	for _, c := range conditions {
		value := 0.0
		if c.Ready {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(conditionDesc(), prometheus.GaugeValue, value, c.Name)
	}
}

func conditionDesc() *prometheus.Desc {
	return prometheus.NewDesc("vrouter_ready_condition",
		"Whether a condition of readiness holds (1) or not (0).", []string{"condition"}, nil)
}
