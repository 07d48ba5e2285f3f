package agent

import (
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
)

func TestDrainSteps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	minute := &resource.NodeDrain{ShutdownAfter: time.Minute}
	var d drain
	for _, c := range []struct {
		name   string
		wanted *resource.NodeDrain
		at     time.Duration
		stage  string
		next   time.Duration
	}{
		{"not drained", nil, 0, "", 0},
		{"peers are asked", minute, time.Hour, drainAsked, time.Minute},
		{"and have time", minute, time.Hour + 20*time.Second, drainAsked, 40 * time.Second},
		{"less of it, when that is changed", &resource.NodeDrain{ShutdownAfter: 30 * time.Second}, time.Hour + 20*time.Second,
			drainAsked, 10 * time.Second},
		{"then sessions are closed", minute, time.Hour + time.Minute, drainClosed, 0},
		{"or not", &resource.NodeDrain{Never: true}, 2 * time.Hour, drainAsked, 0},
		{"undone", nil, 3 * time.Hour, "", 0},
		{"and from the beginning", minute, 4 * time.Hour, drainAsked, time.Minute},
	} {
		if stage, next := d.step(c.wanted, start.Add(c.at)); stage != c.stage || next != c.next {
			t.Errorf("%s: %q, next in %s", c.name, stage, next)
		}
	}
}
