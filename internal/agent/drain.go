package agent

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// The stages of a drain, as the API names them.
const (
	drainAsked  = "asked"  // peers were asked to use other paths
	drainClosed = "closed" // sessions were shut down
)

// drain is how far our node is drained. It begins when the Node says so, and
// anew when the daemon starts: a drain survives its end, and is never closed
// before peers had their time.
type drain struct {
	wanted *resource.NodeDrain // nil: we are not drained
	since  time.Time
}

// step follows what the Node says, and returns how far it is then and, if it is
// not there yet, in what time it goes on; zero: it does not by itself.
func (d *drain) step(wanted *resource.NodeDrain, now time.Time) (stage string, next time.Duration) {
	if wanted == nil || d.wanted == nil {
		d.since = now
	}
	d.wanted = wanted
	switch {
	case wanted == nil:
		return "", 0
	case wanted.Never:
		return drainAsked, 0
	}
	if left := wanted.ShutdownAfter - now.Sub(d.since); left > 0 {
		return drainAsked, left
	}
	return drainClosed, 0
}

// drained is sessions as they are at that stage.
func (d *drain) drained(sessions []bgp.Session, stage string) []bgp.Session {
	if stage == "" {
		return sessions
	}
	return bgp.Drained(sessions, stage == drainClosed, d.wanted.Message)
}
