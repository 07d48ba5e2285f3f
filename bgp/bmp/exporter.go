package bmp

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/bgp"
)

// Source is the speaker that is monitored.
type Source interface {
	// Connections calls f with the sessions that are up, in the order in which
	// they came up, while the Observer is told nothing.
	Connections(f func([]*bgp.Connection))
	// Told yields what connections up to the id upTo have told, as UPDATEs, and
	// returns the place to go on from; zero: that was all. It begins at zero.
	// Meanwhile the Observer is told what changes.
	Told(from uint32, upTo uint64, post bool, yield func(*bgp.Connection, bgp.MonitoredUpdate)) uint32
	// Peers is the state of the sessions.
	Peers() []bgp.PeerState
}

// Station is one that wants to be told.
type Station struct {
	Address    string        // host:port
	Post       bool          // also what the import policy makes of what peers tell
	Statistics time.Duration // between reports; zero: DefaultStatistics
}

// Defaults.
const (
	DefaultStatistics = time.Minute
	// DefaultBuffer is how much a station may be behind: many seconds of a storm
	// of updates, and the first transfer of a large table.
	DefaultBuffer = 32 << 20
)

// Options of an Exporter.
type Options struct {
	Stations    []Station
	Name        string // of this node
	Description string // of this program
	Buffer      int    // octets; zero: DefaultBuffer
	Logger      hclog.Logger
	Dial        func(ctx context.Context, address string) (net.Conn, error) // nil: TCP
}

// Exporter tells stations what a speaker hears. It is the bgp.Observer of it.
type Exporter struct {
	source   Source
	options  Options
	stations []*station

	mu  sync.Mutex // guards the rest; never held across I/O, taken last
	log log
}

var _ bgp.Observer = (*Exporter)(nil)

// New is an Exporter of what source hears, which is to be told whom to tell.
func New(source Source, o Options) *Exporter {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	x := &Exporter{source: source, options: o, log: log{limit: o.Buffer}}
	for _, s := range o.Stations {
		if s.Statistics == 0 {
			s.Statistics = DefaultStatistics
		}
		x.stations = append(x.stations, newStation(x, s))
	}
	return x
}

// Run keeps stations told until ctx ends.
func (x *Exporter) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, s := range x.stations {
		group.Go(func() error {
			s.run(ctx)
			return nil
		})
	}
	return group.Wait()
}

// Stations is the state of all stations, in the order of Options.
func (x *Exporter) Stations() []bgp.StationState {
	list := make([]bgp.StationState, 0, len(x.stations))
	for _, s := range x.stations {
		list = append(list, s.current())
	}
	return list
}

// PeerUp implements bgp.Observer.
func (x *Exporter) PeerUp(c *bgp.Connection) {
	x.add(false, func(b []byte) []byte { return appendPeerUp(b, c) })
}

// PeerDown implements bgp.Observer.
func (x *Exporter) PeerDown(c *bgp.Connection, why bgp.PeerDown) {
	x.add(false, func(b []byte) []byte { return appendPeerDown(b, c, why, time.Now()) })
}

// Heard implements bgp.Observer.
func (x *Exporter) Heard(c *bgp.Connection, u bgp.MonitoredUpdate) {
	x.add(u.Post, func(b []byte) []byte { return appendRoute(b, c, u, time.Now()) })
}

// add adds a message to the log, if anybody reads it.
func (x *Exporter) add(post bool, message func([]byte) []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.log.readers) > 0 {
		x.log.add(message(nil), post)
	}
}
