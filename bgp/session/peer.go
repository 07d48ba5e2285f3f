package session

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Peer is one session that is wanted, from its Start to its Stop.
type Peer struct {
	transport *Transport
	config    Config
	handler   Handler
	log       hclog.Logger

	requests chan request
	ctx      context.Context // ends when the loop does
	cancel   context.CancelFunc
	begin    sync.Once
	begun    chan struct{}  // closed by Start
	done     chan struct{}  // closed when no goroutine is left
	running  sync.WaitGroup // connections, dials

	in, out counters
	passive atomic.Bool // what SetPassive said last

	// Owned by the loop.
	machine     machine
	conns       [slots]*Conn
	retry       *time.Timer
	cancelDial  context.CancelFunc // of the dial under way
	dials       int                // numbers them, so that a late result is known
	upSince     time.Time          // of conns[current]
	predecessor *Conn              // the last one established

	mu      sync.Mutex // guards the rest; never held across a call
	status  Status
	notice  string     // the last NOTIFICATION in words, since the session was up
	dropped drops      // by the host until the session began or ended
	barred  bool       // see Bar
	before  *Peer      // that it follows; nil: none
	early   []net.Conn // that came before it began, in order
}

// request is an event on its way to the loop.
type request struct {
	event event
	conn  *Conn       // of the events of a connection
	sock  net.Conn    // connected, incoming
	dial  int         // connected, dialFailed
	err   error       // dialFailed, lost
	up    *Negotiated // openOK
	// reply receives what the connection's own reader is to do; nil: nobody
	// waits for it.
	reply chan answer
}

// answer is what a reader is to do after its event.
type answer struct {
	confirm   bool
	establish bool
	after     <-chan struct{} // the end of the connection before; nil: there was none
}

// New makes a session; nothing happens before Start. The error says what is
// wrong with c.
func (t *Transport) New(c Config, h Handler) (*Peer, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Peer{
		transport: t, config: c, handler: h,
		log:      t.log.With("peer", c.Peer.String(), "session", c.Name),
		requests: make(chan request), begun: make(chan struct{}),
		ctx: ctx, cancel: cancel, done: make(chan struct{}),
		machine: machine{passive: c.Passive, localID: idNumber(c.RouterID.As4()), localAS: c.LocalAS},
	}
	p.passive.Store(c.Passive)
	p.status.Since = time.Now()
	p.countDrops()
	return p, nil
}

// Config is what the session was made from, with defaults filled in.
func (p *Peer) Config() Config { return p.config }

// Start lets the session begin. It does not wait.
func (p *Peer) Start() {
	p.begin.Do(func() {
		close(p.begun)
		go p.run()
	})
}

// Follow is Start when before, which was told to stop, has ended: what the peer
// makes of one connection must not depend on the other. It does not wait.
func (p *Peer) Follow(before *Peer) {
	p.mu.Lock()
	p.before = before
	p.mu.Unlock()
	go func() {
		<-before.Done()
		p.Start()
	}()
}

// Stop ends the session for good, telling the peer n: a Cease, best made with
// wire.NewShutdown, and within a Hard Reset if it shall drop our paths whatever
// was negotiated (a peer that does not know Hard Reset is told what is in it).
// Without n the connection is closed in silence, so that the peer keeps our
// paths for the restart time (RFC 4724 §4.2). Stop does not wait; Done closes
// when everything has ended, also with the session that this one follows. What a
// Stop after another says is not heeded.
func (p *Peer) Stop(n *wire.Notification) {
	p.begin.Do(func() { go p.skip() })
	go p.post(request{event: event{kind: stop, notice: n}})
}

// skip is the run of a session that is stopped before it has begun.
func (p *Peer) skip() {
	p.mu.Lock()
	before := p.before
	p.mu.Unlock()
	if before != nil {
		<-before.Done()
	}
	p.cancel()
	close(p.begun)
	for _, sock := range p.takeEarly() {
		sock.Close()
	}
	close(p.done)
}

// Bar keeps every connection from getting so far that the peer takes the session
// for up, unless one has: then it does nothing and reports false. After it there
// is only Stop.
func (p *Peer) Bar() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.State < bgp.OpenConfirm {
		p.barred = true
	}
	return p.barred
}

func (p *Peer) isBarred() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.barred
}

// Reset closes the connection, telling the peer n as Stop does, and lets the
// session begin anew.
func (p *Peer) Reset(n *wire.Notification) {
	go p.post(request{event: event{kind: reset, notice: n}})
}

// SetPassive says whether to wait for the peer's connection from now on, or to
// dial. A connection that there is stays. It does not wait.
func (p *Peer) SetPassive(passive bool) {
	p.passive.Store(passive)
	go p.post(request{event: event{kind: turned}})
}

// Done is closed when the session was stopped, its Handler has heard the last,
// and no goroutine is left.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Accept takes a connection that the peer has made, and closes it if the
// session is not to have it. One that comes before the session begins waits for
// that, and the caller does not. Connections are taken in the order of calls: of
// two the later one counts.
func (p *Peer) Accept(sock net.Conn) {
	if !p.isEarly(sock) && !p.post(request{event: event{kind: incoming}, sock: sock}) {
		sock.Close()
	}
}

// isEarly keeps sock if the session has not begun.
func (p *Peer) isEarly(sock net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.begun:
		return false
	default:
		p.early = append(p.early, sock)
		return true
	}
}

// takeEarly is what came before the session began, which it has.
func (p *Peer) takeEarly() []net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	early := p.early
	p.early = nil
	return early
}

// post hands r to the loop; false when that has ended.
func (p *Peer) post(r request) bool {
	select {
	case p.requests <- r:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// ask is post for a connection's reader, which waits for what it is to do.
func (p *Peer) ask(r request) answer {
	r.reply = make(chan answer, 1)
	if !p.post(r) {
		return answer{}
	}
	return <-r.reply
}

// run is the loop: it owns the machine, decides, and never waits for a peer.
func (p *Peer) run() {
	defer close(p.done)
	defer p.running.Wait()
	defer p.cancel()
	p.retry = time.NewTimer(0)
	p.retry.Stop()
	defer p.retry.Stop()
	p.take(request{event: event{kind: start}})
	for _, sock := range p.takeEarly() {
		p.take(request{event: event{kind: incoming}, sock: sock})
	}
	for p.machine.started {
		select {
		case r := <-p.requests:
			p.take(r)
		case <-p.retry.C:
			p.take(request{event: event{kind: retryExpired}})
		}
	}
}
