package hostnet

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
)

// Watcher tells which interfaces have appeared or come up, because the kernel
// gives a new interface, even one of an old name, the settings of a new one.
type Watcher struct {
	log     hclog.Logger
	changed chan struct{}

	mu    sync.Mutex // guards the rest
	known map[string]seen
	news  map[string]struct{}
}

// seen is an interface as it was told last.
type seen struct {
	index int
	up    bool
}

// watchBuffer takes the burst of a host whose workloads all start at once:
// after an overrun the library's subscription is over for good.
const watchBuffer = 8 << 20

// watchPause is the pause before a broken subscription is opened anew.
const watchPause = 100 * time.Millisecond

// NewWatcher returns a Watcher of the network namespace that Run is called in.
func NewWatcher(log hclog.Logger) *Watcher {
	return &Watcher{
		log: log, changed: make(chan struct{}, 1),
		known: make(map[string]seen), news: make(map[string]struct{}),
	}
}

// Changed is signalled when Drain has news.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Drain returns the interfaces that appeared or came up since it was last
// called, in no order.
func (w *Watcher) Drain() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := make([]string, 0, len(w.news))
	for name := range w.news {
		names = append(names, name)
	}
	clear(w.news)
	return names
}

// Run follows the kernel's events until ctx ends. A subscription that breaks
// is opened anew, and what was missed is found by the list that it begins with.
func (w *Watcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.follow(ctx); err != nil {
			w.log.Warn("interface events were lost", "retry_in", watchPause, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
	return nil
}

func (w *Watcher) follow(ctx context.Context) error {
	var broken error
	updates := make(chan netlink.LinkUpdate, 256)
	done := make(chan struct{})
	defer close(done)
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ListExisting: true, ReceiveBufferSize: watchBuffer, ReceiveBufferForceSize: true,
		ErrorCallback: func(err error) { broken = err },
	})
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-updates:
			if !ok {
				return broken // written before the channel was closed
			}
			w.observe(u)
		}
	}
}

func (w *Watcher) observe(u netlink.LinkUpdate) {
	attrs := u.Attrs()
	w.mu.Lock()
	defer w.mu.Unlock()
	if u.Header.Type == rtmDelLink {
		delete(w.known, attrs.Name)
		return
	}
	now := seen{index: attrs.Index, up: attrs.Flags&net.FlagUp != 0}
	old, had := w.known[attrs.Name]
	w.known[attrs.Name] = now
	if had && old.index == now.index && (old.up || !now.up) {
		return
	}
	w.news[attrs.Name] = struct{}{}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// rtmDelLink is RTM_DELLINK (rtnetlink(7)).
const rtmDelLink = 17
