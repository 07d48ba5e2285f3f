package flows

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/projectvrouter/vrouter/policy"
)

// watcher is what waits for somebody who watches: at most queueLength flows, the
// first that came; later ones are counted.
type watcher struct {
	news  chan struct{}
	ended chan struct{} // closed after err was written
	err   error

	mu     sync.Mutex // guards the rest
	queue  []policy.Flow
	missed uint64
}

func newWatcher() *watcher {
	return &watcher{news: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (w *watcher) put(f policy.Flow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == queueLength {
		w.missed++
		return
	}
	w.queue = append(w.queue, f)
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *watcher) miss(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed += n
}

func (w *watcher) take() ([]policy.Flow, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	flows := w.queue
	w.queue = nil
	return flows, w.missed
}

// fail ends the watch; it is called once.
func (w *watcher) fail(err error) {
	w.err = err
	close(w.ended)
}

// isTransient tells whether a socket goes on after an error.
func isTransient(err error) bool {
	return errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN)
}

// linksFor is how long names of interfaces are taken for granted: a flood of
// packets asks the kernel once a second.
const linksFor = time.Second

// links knows interfaces by their index.
type links struct {
	lookup func(int) (string, error)
	names  map[uint32]string
	until  time.Time
}

func newLinks(lookup func(int) (string, error)) *links {
	if lookup == nil {
		lookup = func(index int) (string, error) {
			i, err := net.InterfaceByIndex(index)
			if err != nil {
				return "", err
			}
			return i.Name, nil
		}
	}
	return &links{lookup: lookup, names: make(map[uint32]string)}
}

// name returns the name of an interface; empty: there is none, or it is gone.
func (l *links) name(index *uint32) string {
	if index == nil || *index == 0 {
		return ""
	}
	if now := time.Now(); now.After(l.until) {
		clear(l.names)
		l.until = now.Add(linksFor)
	}
	name, ok := l.names[*index]
	if !ok {
		name, _ = l.lookup(int(*index)) // gone: it has no name any more
		l.names[*index] = name
	}
	return name
}
