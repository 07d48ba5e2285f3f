package flows

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/florianl/go-nflog/v2"

	"github.com/projectvrouter/vrouter/policy"
)

const (
	// snaplen holds the headers of any packet, with options and extensions.
	snaplen = 128
	// queueLength is how many flows wait for a watcher: a second of a thousand
	// refused connections.
	queueLength = 1024
)

// Listener hands the flows of a group to whoever watches. Its methods may be
// called at once.
type Listener struct {
	group uint16
	netns int
	links *links

	binding sync.Mutex // held while the socket is opened or closed; guards stop
	stop    func()     // closes the socket and waits until it is; nil: there is none

	mu       sync.Mutex // guards the rest; never held while the socket is closed
	watchers map[*watcher]struct{}
	broken   bool   // the socket failed
	sequence uint32 // of the last packet
	begun    bool   // there was one on this socket
}

// Options of a Listener.
type Options struct {
	Group uint16
	// NetNS is a descriptor of the network namespace; zero: that of the process.
	NetNS int
	// InterfaceName returns the name of an interface by its index; nil: as the
	// kernel knows it in the process's own namespace.
	InterfaceName func(index int) (string, error)
}

// New returns a Listener that is bound to nothing yet.
func New(opts Options) *Listener {
	return &Listener{
		group: opts.Group, netns: opts.NetNS, links: newLinks(opts.InterfaceName), watchers: make(map[*watcher]struct{}),
	}
}

// Check tells whether the kernel lets us have the group now.
func (l *Listener) Check() error {
	w := newWatcher()
	if err := l.join(w); err != nil {
		return err
	}
	l.leave(w)
	return nil
}

// Watch sends flows until ctx ends or send fails, and returns why. It calls ready
// once it listens. With each flow it tells how many were missed before.
func (l *Listener) Watch(ctx context.Context, ready func() error, send func(f policy.Flow, missed uint64) error) error {
	w := newWatcher()
	if err := l.join(w); err != nil {
		return err
	}
	defer l.leave(w)
	if err := ready(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.ended:
			return w.err
		case <-w.news:
		}
		flows, missed := w.take()
		for _, f := range flows {
			if err := send(f, missed); err != nil {
				return err
			}
		}
	}
}

func (l *Listener) join(w *watcher) error {
	l.binding.Lock()
	defer l.binding.Unlock()
	l.mu.Lock()
	broken := l.broken
	l.mu.Unlock()
	if broken {
		l.close()
	}
	if l.stop == nil {
		if err := l.bind(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[w] = struct{}{}
	return nil
}

func (l *Listener) leave(w *watcher) {
	l.binding.Lock()
	defer l.binding.Unlock()
	l.mu.Lock()
	delete(l.watchers, w)
	last := len(l.watchers) == 0
	l.mu.Unlock()
	if last {
		l.close()
	}
}

// close ends the socket, if there is one; binding is held.
func (l *Listener) close() {
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
}

// bind opens a socket for the group, of which the kernel has one for each;
// binding is held.
func (l *Listener) bind() error {
	log, err := nflog.Open(&nflog.Config{
		Group: l.group, NetNS: l.netns, Copymode: nflog.CopyPacket, Bufsize: snaplen, Flags: nflog.FlagSeq,
	})
	if err != nil {
		return fmt.Errorf("open NFLOG: %w", err)
	}
	l.mu.Lock()
	l.broken, l.begun = false, false
	l.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	received := func(a nflog.Attribute) int {
		l.received(a)
		return 0
	}
	failed := func(err error) int {
		if isTransient(err) {
			return 0 // such as a full buffer: the gap is counted by the next packet's number
		}
		l.failed(err)
		close(ended)
		return 1
	}
	if err := log.RegisterWithErrorFunc(ctx, received, failed); err != nil {
		cancel()
		log.Close()
		return fmt.Errorf("bind NFLOG group %d: %w", l.group, err)
	}
	l.stop = func() {
		log.Con.Close() // which fails the reader; only then is the group free
		<-ended
		cancel()
		log.Close()
	}
	return nil
}

// received hands a packet to the watchers. What another program sent to the
// group is left out.
func (l *Listener) received(a nflog.Attribute) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.Seq != nil {
		if missed := *a.Seq - l.sequence - 1; l.begun && missed > 0 {
			l.missLocked(uint64(missed))
		}
		l.sequence, l.begun = *a.Seq, true
	}
	f, ok := l.flow(a)
	if !ok {
		return
	}
	for w := range l.watchers {
		w.put(f)
	}
}

func (l *Listener) missLocked(n uint64) {
	for w := range l.watchers {
		w.miss(n)
	}
}

// failed ends all watches: the socket is closed by us, when nobody watches, or
// by the kernel.
func (l *Listener) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for w := range l.watchers {
		w.fail(fmt.Errorf("receive from NFLOG group %d: %w", l.group, err))
	}
	clear(l.watchers)
}

// flow reads a message; false: it is none of ours.
func (l *Listener) flow(a nflog.Attribute) (policy.Flow, bool) {
	if a.Prefix == nil || a.Payload == nil {
		return policy.Flow{}, false
	}
	prefix, err := policy.ParseFlowPrefix(*a.Prefix)
	if err != nil {
		return policy.Flow{}, false
	}
	f := policy.Flow{Prefix: prefix, Time: time.Now(), In: l.links.name(a.InDev), Out: l.links.name(a.OutDev)}
	if a.Timestamp != nil {
		f.Time = *a.Timestamp
	}
	f.Packet, f.Length, err = parse(*a.Payload)
	return f, err == nil
}
