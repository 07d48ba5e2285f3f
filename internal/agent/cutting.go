package agent

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/policy"
)

// Flows is what the host's kernel remembers of connections.
type Flows interface {
	// Cut has the kernel forget the connections that denied tells, so that
	// their next packet meets policy. It returns how many went.
	Cut(ctx context.Context, denied func(policy.Connection) bool) (int, error)
}

// Pauses between readings of the kernel's connections, which costs a core about
// a second for each million of them.
const (
	cutPause  = time.Second
	cutShare  = 10 // a pause is so many times as long as the reading before it
	longCheck = time.Minute
)

// cutting is the edge policy in force → connections: it cuts those that are no
// longer allowed. It does nothing while no AgentConfiguration asks for it.
type cutting struct {
	table *policy.Table
	flows Flows
	log   hclog.Logger
	cut   atomic.Int64 // connections so far
}

// Run works until ctx ends. Changes that come while connections are read, or
// soon after, are answered together. What failed is done again: the next change
// may be long in coming.
func (c *cutting) Run(ctx context.Context) error {
	for failed := false; failed || wait(ctx, c.table.Denied()); {
		begun := time.Now()
		n, err := c.flows.Cut(ctx, c.table.Denies)
		c.cut.Add(int64(n))
		if n > 0 {
			c.log.Info("connections cut that policy no longer allows", "count", n)
		}
		pause := min(max(cutPause, cutShare*time.Since(begun)), longCheck)
		if failed = err != nil; failed && ctx.Err() == nil {
			c.log.Warn("connections that policy no longer allows may go on", "retry_in", pause, "error", err)
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
	return nil
}
