package bmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

const (
	// firstPause and lastPause bound the time between attempts. RFC 7854 §3.2
	// suggests 30 s to 12 minutes; a station that was restarted shall not miss
	// so much.
	firstPause = 2 * time.Second
	lastPause  = 2 * time.Minute
	// dialTimeout leaves room for two repetitions of a lost SYN.
	dialTimeout = 5 * time.Second
	// writeTimeout is how long a station may take for writeAtOnce octets.
	writeTimeout = 30 * time.Second
	writeAtOnce  = 256 << 10
	// goodbyeTimeout is how long a Termination may take when we stop.
	goodbyeTimeout = time.Second
)

var (
	errBehind = errors.New("it was too slow: what it should be told next is gone")
	errClosed = errors.New("the station closed the connection")
)

// station is one connection after another to a station.
type station struct {
	exporter *Exporter
	config   Station

	mu    sync.Mutex // guards state
	state bgp.StationState
}

func newStation(x *Exporter, c Station) *station {
	return &station{exporter: x, config: c, state: bgp.StationState{Address: c.Address, Since: time.Now()}}
}

func (s *station) current() bgp.StationState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *station) change(how func(*bgp.StationState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how(&s.state)
}

// run connects again and again until ctx ends.
func (s *station) run(ctx context.Context) {
	log := s.exporter.options.Logger.With("station", s.config.Address)
	pause := firstPause
	for {
		begun := time.Now()
		err := s.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > lastPause { // it went well for a while
			pause = firstPause
		}
		wait := pause - rand.N(pause/4+1) // so that stations do not move in step
		s.change(func(st *bgp.StationState) { st.LastError = err.Error() })
		log.Warn("station is not told", "error", err, "retry_in", wait.Round(time.Millisecond))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
	}
}

// connect tells the station all until the connection ends, and why it did.
func (s *station) connect(ctx context.Context) error {
	dialling, cancel := context.WithTimeout(ctx, dialTimeout)
	conn, err := s.exporter.options.Dial(dialling, s.config.Address)
	cancel()
	if err != nil {
		return fmt.Errorf("connect to station: %w", err)
	}
	defer conn.Close()
	s.change(func(st *bgp.StationState) {
		st.Connected, st.Since = true, time.Now()
		st.Connections++
	})
	defer s.change(func(st *bgp.StationState) { st.Connected, st.Since = false, time.Now() })
	s.exporter.options.Logger.Info("station is connected", "station", s.config.Address)

	ctx, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Now()) }) // ends a write; an error: there is none to end
	defer stop()
	go func() {
		// A station says nothing (RFC 7854 §3.2): what ends is the connection.
		_, err := io.Copy(io.Discard, conn)
		if err == nil {
			err = errClosed
		}
		ended(fmt.Errorf("read from station: %w", err))
	}()
	l := &link{station: s, conn: conn}
	err = l.tell(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, context.Canceled) && !l.torn {
		stop()
		l.goodbye()
	}
	return err
}

// link is one connection to a station.
type link struct {
	station *station
	conn    net.Conn
	reader  *reader
	upTo    uint64 // connections that were up when it began
	torn    bool   // a write was cut off: nothing can follow
}

// tell tells what there is, and then what comes.
func (l *link) tell(ctx context.Context) error {
	x := l.station.exporter
	up := l.open()
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.log.close(l.reader)
	}()
	if err := l.begin(ctx, up); err != nil {
		return err
	}
	statistics := time.NewTicker(l.station.config.Statistics)
	defer statistics.Stop()
	for {
		batch, err := l.next()
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := l.write(ctx, batch); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.reader.wake:
		case <-statistics.C:
			if err := l.report(ctx); err != nil {
				return err
			}
		}
	}
}

// open takes a place in the log, and the sessions that are up there.
func (l *link) open() (up []*bgp.Connection) {
	x := l.station.exporter
	x.source.Connections(func(list []*bgp.Connection) {
		up = list
		x.mu.Lock()
		defer x.mu.Unlock()
		l.reader = x.log.open(l.station.config.Post)
	})
	for _, c := range up {
		l.upTo = max(l.upTo, c.ID)
	}
	return up
}

// begin tells which sessions are up and what they have told.
func (l *link) begin(ctx context.Context, up []*bgp.Connection) error {
	o := l.station.exporter.options
	batch := [][]byte{appendInitiation(nil, o.Name, o.Description)}
	for _, c := range up {
		batch = append(batch, appendPeerUp(nil, c))
	}
	if err := l.write(ctx, batch); err != nil {
		return err
	}
	for _, post := range []bool{false, true} {
		if post && !l.station.config.Post {
			break
		}
		if err := l.table(ctx, up, post); err != nil {
			return err
		}
	}
	return nil
}

// table tells what the sessions have told, with an End-of-RIB for each of their
// families at the end (RFC 7854 §5). What a session tells that has ended since,
// and come back perhaps, is in the log.
func (l *link) table(ctx context.Context, up []*bgp.Connection, post bool) error {
	x := l.station.exporter
	for from, more := uint32(0), true; more; {
		var batch [][]byte
		from = x.source.Told(from, l.upTo, post, func(c *bgp.Connection, u bgp.MonitoredUpdate) {
			batch = append(batch, appendRoute(nil, c, u, c.Up))
		})
		more = from != 0
		if err := l.write(ctx, batch); err != nil {
			return err
		}
		if l.isBehind() {
			return errBehind
		}
	}
	var batch [][]byte
	for _, c := range up {
		for _, f := range c.Families.All() {
			u := bgp.MonitoredUpdate{Message: wire.AppendEndOfRIB(nil, f), Post: post}
			batch = append(batch, appendRoute(nil, c, u, time.Now()))
		}
	}
	return l.write(ctx, batch)
}

func (l *link) isBehind() bool {
	x := l.station.exporter
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.log.behind(l.reader)
}

// next is what is to be written next; none: nothing now.
func (l *link) next() ([][]byte, error) {
	x := l.station.exporter
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.log.behind(l.reader) {
		return nil, errBehind
	}
	batch, _ := x.log.read(l.reader, nil, writeAtOnce)
	return batch, nil
}

// report tells the statistics of each session.
func (l *link) report(ctx context.Context) error {
	x := l.station.exporter
	states := make(map[netip.AddrPort]bgp.PeerState)
	for _, p := range x.source.Peers() {
		states[p.Session.Endpoint()] = p
	}
	var up []*bgp.Connection
	x.source.Connections(func(list []*bgp.Connection) { up = list })
	var batch [][]byte
	for _, c := range up {
		if p, ok := states[c.Session.Endpoint()]; ok && c.ID <= l.known() {
			batch = append(batch, appendReport(nil, c, p, time.Now()))
		}
	}
	return l.write(ctx, batch)
}

// known is the id up to which the station was told of sessions: of a session of
// which the log has still to tell, it has heard nothing.
func (l *link) known() uint64 {
	x := l.station.exporter
	x.mu.Lock()
	defer x.mu.Unlock()
	if l.reader.next == x.log.base+uint64(len(x.log.entries)) {
		return ^uint64(0)
	}
	return l.upTo
}

// write writes whole messages, and gives the station some time for each part.
func (l *link) write(ctx context.Context, batch [][]byte) error {
	for len(batch) > 0 {
		n, size := 0, 0
		for n < len(batch) && (n == 0 || size+len(batch[n]) <= writeAtOnce) {
			size += len(batch[n])
			n++
		}
		part := net.Buffers(batch[:n:n])
		batch = batch[n:]
		if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return fmt.Errorf("write to station: %w", err)
		}
		if ctx.Err() != nil { // its end may have been overwritten
			return ctx.Err()
		}
		if _, err := part.WriteTo(l.conn); err != nil {
			l.torn = true
			return fmt.Errorf("write to station: %w", err)
		}
		l.station.change(func(st *bgp.StationState) {
			st.Messages += uint64(n)
			st.Octets += uint64(size)
		})
	}
	return nil
}

// goodbye says that we stop.
func (l *link) goodbye() {
	_ = l.conn.SetWriteDeadline(time.Now().Add(goodbyeTimeout)) // an error: the write has it, too
	_, _ = l.conn.Write(appendTermination(nil, "vrouterd stops"))
}
