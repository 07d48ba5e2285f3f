package agent

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/policy"
)

// Firewalls is the port to the rules of others on the host: of Docker, ufw,
// firewalld.
type Firewalls interface {
	// Accept has them accept what is from and to interfaces whose names begin
	// with one of prefixes; none: what was put there goes.
	Accept(ctx context.Context, prefixes []string) error
	// Drops names the places where what is forwarded is dropped all the same.
	Drops(ctx context.Context) ([]string, error)
}

// Pauses between looks: nobody tells when others write their rules.
const (
	foreignPause = time.Minute
	dropsEvery   = 10 // looks; listing all rules of a host is long work
)

// firewalls is the edge between settings in force and the rules of others.
type firewalls struct {
	table *policy.Table
	port  Firewalls
	log   hclog.Logger

	mu       sync.Mutex // guards the rest; never held across a call
	problems []string
}

// Problems says where others drop what policy lets through.
func (f *firewalls) Problems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problems
}

// Run works until ctx ends, and leaves everything in place. Nothing is accepted
// before policy is in force.
func (f *firewalls) Run(ctx context.Context) error {
	if !wait(ctx, f.table.Ready()) {
		return nil
	}
	for n := 0; ; n++ {
		settings, settled := f.table.Settings()
		f.accept(ctx, settings)
		if n%dropsEvery == 0 && !f.look(ctx) {
			n = dropsEvery - 1 // what could not be read is looked at again after the pause
		}
		timer := time.NewTimer(foreignPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-settled:
			n = -1
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (f *firewalls) accept(ctx context.Context, settings *policy.Settings) {
	var prefixes []string
	if settings != nil && settings.AcceptForeign {
		prefixes = settings.WorkloadPrefixes
	}
	if err := f.port.Accept(ctx, prefixes); err != nil && ctx.Err() == nil {
		f.log.Warn("chains of others are not as they should be", "retry_in", foreignPause, "error", err)
	}
}

// look reports whether the rules of others could be read.
func (f *firewalls) look(ctx context.Context) bool {
	places, err := f.port.Drops(ctx)
	if err != nil {
		f.log.Debug("rules of others cannot be read", "retry_in", foreignPause, "error", err)
		return false
	}
	var problems []string
	for _, place := range places {
		problems = append(problems, "policy: what it lets through is dropped by "+place)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problems = problems
	return true
}
