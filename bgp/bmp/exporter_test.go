package bmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bmp/bmptest"
)

// speaker is a Source with one peer that tells prefixes.
type speaker struct {
	t        testing.TB
	observer bgp.Observer

	mu   sync.Mutex // guards the rest, as a speaker's lock
	up   *bgp.Connection
	ids  uint64
	told map[string]uint32 // prefix → MED
}

func (s *speaker) Connections(f func([]*bgp.Connection)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up == nil {
		f(nil)
		return
	}
	f([]*bgp.Connection{s.up})
}

func (s *speaker) Told(_ uint32, upTo uint64, post bool, yield func(*bgp.Connection, bgp.MonitoredUpdate)) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up != nil && s.up.ID <= upTo {
		for p, med := range s.told {
			yield(s.up, bgp.MonitoredUpdate{Message: update(s.t, p, "192.0.2.2", med), Post: post})
		}
	}
	return 0
}

func (s *speaker) Peers() []bgp.PeerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []bgp.PeerState{{Session: bgp.Session{Peer: netip.MustParseAddr("192.0.2.2")}, Received: len(s.told)}}
}

func (s *speaker) comeUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids++
	s.up, s.told = connection(s.t, s.ids, "192.0.2.1", "192.0.2.2"), make(map[string]uint32)
	s.observer.PeerUp(s.up)
}

func (s *speaker) goDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observer.PeerDown(s.up, bgp.PeerDown{Reason: bgp.DownRemote})
	s.up = nil
}

func (s *speaker) tell(prefix string, med uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[prefix] = med
	for _, post := range []bool{false, true} {
		s.observer.Heard(s.up, bgp.MonitoredUpdate{Message: update(s.t, prefix, "192.0.2.2", med), Post: post})
	}
}

// want is what a station should hold.
func (s *speaker) want() string {
	var lines []string
	for n := range 256 {
		p := fmt.Sprintf("10.0.0.%d/32", n)
		if med, ok := s.told[p]; ok {
			lines = append(lines, fmt.Sprintf("%s#0 via 192.0.2.2 path [4200000001] pref 0 med %d", p, med))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// world is an exporter, what it monitors, and a station.
type world struct {
	*speaker
	exporter *Exporter
	station  *bmptest.Station
	stop     func()

	dialling sync.Mutex    // guards the rest
	refuse   bool          // connections
	hold     chan struct{} // not nil: the station reads nothing until it is closed
}

func (w *world) answer(refuse bool, hold chan struct{}) {
	w.dialling.Lock()
	defer w.dialling.Unlock()
	w.refuse, w.hold = refuse, hold
}

func newWorld(t *testing.T, post, refuse bool, buffer int) *world {
	w := &world{speaker: &speaker{t: t}, station: new(bmptest.Station), refuse: refuse}
	w.exporter = New(w.speaker, Options{
		Stations: []Station{{Address: "station:11019", Post: post}}, Name: "rr1", Description: "vrouterd", Buffer: buffer,
		Logger: hclog.NewNullLogger(),
		Dial: func(context.Context, string) (net.Conn, error) {
			w.dialling.Lock()
			defer w.dialling.Unlock()
			if w.refuse {
				return nil, errors.New("refused")
			}
			ours, theirs := net.Pipe()
			hold := w.hold
			go func() {
				if hold != nil {
					<-hold
				}
				w.station.Serve(theirs)
			}()
			return ours, nil
		},
	})
	w.observer = w.exporter
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.exporter.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

var peer = netip.MustParseAddr("192.0.2.2")

func (w *world) check(what string, post bool) {
	w.t.Helper()
	synctest.Wait()
	if err := w.station.Err(); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	want := w.want()
	if got := w.station.Table(peer, post); got != want && got != want+"\n…" {
		w.t.Fatalf("%s: the station holds\n%s\nwant\n%s", what, got, want)
	}
}

// TestStation: a station hears what was before it and what comes after, gets
// reports, and is told when we stop.
func TestStation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true, false, 0)
		synctest.Wait()
		w.comeUp()
		w.tell("10.0.0.1/32", 1)
		w.check("live", false)
		w.check("live, post", true)
		w.goDown()
		synctest.Wait()
		if downs := w.station.Downs(); len(downs) != 1 || downs[0].Reason != 4 {
			t.Errorf("downs: %+v", downs)
		}
		w.comeUp()
		w.tell("10.0.0.2/32", 2)
		time.Sleep(DefaultStatistics + time.Second)
		synctest.Wait()
		if r := w.station.Reports(); len(r) != 1 || r[0].Values["7"] != 1 {
			t.Errorf("reports: %+v", r)
		}
		if st := w.exporter.Stations()[0]; !st.Connected || st.Connections != 1 || st.Messages < 6 || st.Octets == 0 {
			t.Errorf("state: %+v", st)
		}
		w.stop()
		synctest.Wait()
		if !w.station.Ended() || w.station.Err() != nil {
			t.Errorf("no termination, or %v", w.station.Err())
		}
	})
}

// TestStationWithoutPost hears nothing of policy.
func TestStationWithoutPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false, false, 0)
		synctest.Wait()
		w.comeUp()
		w.tell("10.0.0.1/32", 1)
		w.check("live", false)
		if got := w.station.Table(peer, true); got != "…" {
			t.Errorf("post-policy: %s", got)
		}
	})
}

// TestStationAway: attempts become rarer, and what happened meanwhile is told
// as it stands, with an End-of-RIB behind it.
func TestStationAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true, true, 0)
		synctest.Wait()
		w.comeUp()
		for n := range uint32(100) {
			w.tell("10.0.0.1/32", n)
		}
		w.exporter.mu.Lock()
		n := len(w.exporter.log.entries)
		w.exporter.mu.Unlock()
		if n > 0 {
			t.Errorf("%d messages are kept for nobody", n)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if st := w.exporter.Stations()[0]; st.Connected || st.Connections > 0 || st.LastError == "" {
			t.Errorf("state: %+v", st)
		}
		w.answer(false, nil)
		time.Sleep(lastPause)
		synctest.Wait()
		w.check("back", false)
		w.check("back, post", true)
		if got := w.station.Table(peer, false); strings.Contains(got, "…") {
			t.Errorf("no End-of-RIB: %s", got)
		}
	})
}

// TestSlowStation: who does not read holds up nobody, costs a bounded log, is
// disconnected, and holds what it should when it reads again.
func TestSlowStation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false, true, 10_000)
		synctest.Wait()
		w.comeUp()
		w.tell("10.0.0.1/32", 1)
		hold := make(chan struct{})
		w.answer(false, hold)
		time.Sleep(2 * lastPause)
		synctest.Wait()
		for n := range uint32(5000) { // returns at once, each time
			w.tell(fmt.Sprintf("10.0.0.%d/32", n%256), n)
		}
		w.exporter.mu.Lock()
		octets := w.exporter.log.octets
		w.exporter.mu.Unlock()
		if octets > 10_000 {
			t.Errorf("the log has %d octets", octets)
		}
		time.Sleep(writeTimeout + time.Second)
		if st := w.exporter.Stations()[0]; st.LastError == "" {
			t.Errorf("the station was not disconnected: %+v", st)
		}
		w.answer(false, nil)
		close(hold)
		time.Sleep(2 * lastPause)
		w.check("after", false)
	})
}
