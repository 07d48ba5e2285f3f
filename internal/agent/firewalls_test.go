package agent

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/policytest"
)

// busyFirewalls cannot be read once: somebody holds their lock.
type busyFirewalls struct{ looks []time.Time }

func (*busyFirewalls) Accept(context.Context, []string) error { return nil }

func (b *busyFirewalls) Drops(context.Context) ([]string, error) {
	b.looks = append(b.looks, time.Now())
	if len(b.looks) == 1 {
		return nil, errors.New("another app is holding the lock")
	}
	return []string{"chain FORWARD"}, nil
}

// Rules of others that could not be read are looked at again soon, and rarely
// once they could.
func TestFirewallsAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := policy.NewTable(newFakeResolver(), policytest.NewMemory(), policy.Options{ReadBack: -1})
		port := new(busyFirewalls)
		f := &firewalls{table: table, port: port, log: hclog.NewNullLogger()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- table.Run(ctx) }()
		<-table.Ready()
		synctest.Wait()
		if _, settled := table.Settings(); len(settled) > 0 {
			<-settled // the first look is because of the start
		}
		go func() { done <- f.Run(ctx) }()
		time.Sleep(2*foreignPause + time.Second)
		synctest.Wait()
		if got := f.Problems(); !slices.Equal(got, []string{"policy: what it lets through is dropped by chain FORWARD"}) {
			t.Errorf("problems %q", got)
		}
		time.Sleep((dropsEvery - 3) * foreignPause)
		synctest.Wait()
		if n := len(port.looks); n != 2 {
			t.Errorf("looked %d times, wanted twice: %v", n, port.looks)
		}
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}
