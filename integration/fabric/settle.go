package fabric

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// statusLimit is how long a daemon that lives may take to tell its status.
const statusLimit = 30 * time.Second

// Status asks the daemon for its status.
func (d *Daemon) Status() (*vrouterv1.GetStatusResponse, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), statusLimit)
	defer cancel()
	return d.Nodes.GetStatus(ctx, &vrouterv1.GetStatusRequest{})
}

// WaitSettled waits until a start is over: the daemon is ready, n sessions are
// up and have told everything, and what an earlier run left was swept.
func (d *Daemon) WaitSettled(n int) {
	d.t.Helper()
	d.WaitReady()
	d.WaitTold(n)
	d.WaitSwept()
}

// WaitTold waits until n sessions are up and have told everything.
func (d *Daemon) WaitTold(n int) {
	d.t.Helper()
	lab.Eventually(d.t, Limit, d.Name()+" has been told everything", func() error {
		r, err := d.Status()
		if err != nil {
			return err
		}
		told := 0
		for _, p := range r.Peers {
			if p.State == "Established" && p.EndOfRib {
				told++
			}
		}
		if told != n {
			return fmt.Errorf("%d of %d sessions have told everything: %v", told, n, r.Peers)
		}
		return nil
	})
}

// WaitSwept waits until what an earlier run left was swept.
func (d *Daemon) WaitSwept() {
	d.t.Helper()
	lab.Eventually(d.t, Limit, d.Name()+" has swept", d.swept)
}

// swept goes by the log: status has no word for it.
func (d *Daemon) swept() error {
	if n := strings.Count(d.process.Output(), "learned routes are complete"); n != 2 {
		return fmt.Errorf("%d of 2 families swept", n)
	}
	return nil
}

// WaitCondition waits until a condition does not hold, for a reason that has
// the words in it.
func (d *Daemon) WaitCondition(name, words string) {
	d.t.Helper()
	what := fmt.Sprintf("%s says of %s: %s", d.Name(), name, words)
	lab.Eventually(d.t, Limit, what, func() error { return d.condition(name, words) })
}

func (d *Daemon) condition(name, words string) error {
	if !d.process.Running() {
		d.t.Fatalf("host %s: vrouterd has ended: %v", d.Name(), d.process.Wait())
	}
	r, err := d.Status()
	if err != nil {
		return err
	}
	for _, c := range r.Conditions {
		if c.Name == name && !c.Ok && strings.Contains(c.Reason, words) && !r.Ready {
			return nil
		}
	}
	return fmt.Errorf("ready is %t, conditions are %v", r.Ready, r.Conditions)
}
