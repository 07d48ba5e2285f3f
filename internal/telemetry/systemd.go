package telemetry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
)

// Notifier is the task that tells systemd how the daemon fares (sd_notify(3)):
// READY=1 when it is ready for the first time, STATUS= whenever a condition
// changes, WATCHDOG=1 as long as it is live, STOPPING=1 at the end. Without
// systemd it does nothing.
//
// A unit of Type=notify must not bound the time of the start
// (TimeoutStartSec=infinity): a daemon may wait for its store for long, and
// serves what it can meanwhile.
type Notifier struct {
	health   *Health
	log      hclog.Logger
	watchdog time.Duration                  // zero: systemd does not ask for it
	send     func(state string) error       // one message to systemd
	ready    chan struct{}                  // closed when Run begins
	told     struct{ status, fault string } // what was said last
}

// NewNotifier reads what systemd asks for from the environment.
func NewNotifier(health *Health, log hclog.Logger) *Notifier {
	n := &Notifier{health: health, log: log, ready: make(chan struct{})}
	n.send = func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog setting is not understood", "error", err)
	}
	n.watchdog = period
	return n
}

// Name returns the name of the task.
func (n *Notifier) Name() string { return "systemd" }

// Ready is closed when the task runs.
func (n *Notifier) Ready() <-chan struct{} { return n.ready }

// Run tells until ctx ends. What cannot be told is logged.
func (n *Notifier) Run(ctx context.Context) error {
	close(n.ready)
	var tick <-chan time.Time
	if n.watchdog > 0 {
		// Half the period, as sd_watchdog_enabled(3) recommends.
		ticker := time.NewTicker(n.watchdog / 2)
		defer ticker.Stop()
		tick = ticker.C
	}
	started := false
	for {
		changed := n.health.Changed()
		ready, conditions := n.health.Ready()
		if ready && !started {
			started = true
			n.tell(daemon.SdNotifyReady)
		}
		n.status(conditions)
		select {
		case <-changed:
		case <-tick:
			n.keepAlive(ctx)
		case <-ctx.Done():
			n.tell(daemon.SdNotifyStopping)
			return nil
		}
	}
}

// status tells what the daemon waits for, which `systemctl status` shows.
func (n *Notifier) status(conditions []Condition) {
	var waiting []string
	for _, c := range conditions {
		if !c.Ready {
			waiting = append(waiting, c.String())
		}
	}
	status := "ready"
	if len(waiting) > 0 {
		status = strings.Join(waiting, "; ")
	}
	if status != n.told.status {
		n.told.status = status
		n.tell("STATUS=" + status)
	}
}

// keepAlive feeds the watchdog, unless a check of liveness fails: then systemd
// restarts the daemon.
func (n *Notifier) keepAlive(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, min(checkTime, n.watchdog/4))
	defer cancel()
	faults := n.health.Live(limited)
	if ctx.Err() != nil {
		return // the checks were cut off by the daemon's own stop
	}
	if len(faults) == 0 {
		n.told.fault = ""
		n.tell(daemon.SdNotifyWatchdog)
		return
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		all = append(all, fmt.Sprintf("%s: %v", name, faults[name]))
	}
	if fault := strings.Join(all, "; "); fault != n.told.fault {
		n.told.fault = fault
		n.log.Error("not live: systemd's watchdog is not fed", "error", fault)
	}
}

func (n *Notifier) tell(state string) {
	if err := n.send(state); err != nil {
		n.log.Warn("systemd was not told", "state", state, "error", err)
	}
}
