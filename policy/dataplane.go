package policy

import (
	"context"
	"errors"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// ErrTooLarge says that the kernel cannot take an object of this size.
var ErrTooLarge = errors.New("larger than the kernel takes")

// Dataplane is the port to one kernel's packet filter: one network namespace.
// All methods but Changed are called by one goroutine at a time.
type Dataplane interface {
	// Sync makes the kernel enforce exactly what all says, in which every set
	// is New: it reads back what is there first, takes it over as far as it is
	// right, and removes what else is ours. At no instant is a packet judged
	// by less than the old or the new state.
	Sync(ctx context.Context, all *Update) error

	// Apply changes what u says. It is called only after a Sync, and after an
	// Apply that failed again only after a Sync. An error means that the
	// kernel enforces the old state, or old and new parts each whole, never
	// less than both have in common.
	Apply(ctx context.Context, u *Update) error

	// Changed is signalled when somebody else changed what is ours, as far as
	// the kernel tells.
	Changed() <-chan struct{}

	// Counters returns what was counted so far; counts of rules that were
	// changed begin anew.
	Counters(ctx context.Context) ([]Counter, error)

	// Clean removes all that is ours, also from an earlier process. It is for
	// a dataplane that gives way to another, and for cleaning up.
	Clean(ctx context.Context) error

	// Close ends the use of the kernel's sockets. It changes no rule.
	Close() error
}

// Counter is how many packets and bytes a rule has seen, over all endpoints.
type Counter struct {
	Policy    resource.ID // or a profile
	Direction Direction
	Rule      int // Rule.Index
	Packets   uint64
	Bytes     uint64
}
