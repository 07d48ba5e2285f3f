package nftables

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// A stream is datagrams as fast as one sender can, each judged by policy: none
// is answered, so that all are the first of their connection.
type stream struct {
	sent, received atomic.Int64
	stop           chan struct{}
	senders        sync.WaitGroup
}

func (s *site) stream(t *testing.T, from, to int) *stream {
	t.Helper()
	st := &stream{stop: make(chan struct{})}
	v4, _ := workloadAddr(to)
	var conn *net.UDPConn
	err := s.workloads[to-1].Do(func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: v4.AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	})
	if err := errors.Join(err, refused); err != nil {
		t.Fatal(err)
	}
	var receivers sync.WaitGroup
	receivers.Go(func() {
		for {
			if _, err := conn.Read(make([]byte, 16)); err != nil {
				return
			}
			st.received.Add(1)
		}
	})
	st.senders.Go(func() {
		target := conn.LocalAddr().(*net.UDPAddr)
		if err := s.workloads[from-1].Do(func() error { return st.send(target) }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		conn.Close()
		receivers.Wait()
	})
	return st
}

// A sender waits for some datagrams to arrive before it sends more, so that the
// receiver's buffer holds them all, and for so long: those that are denied never
// arrive.
const (
	unread   = 100
	patience = 2 * time.Millisecond
)

func (st *stream) send(to *net.UDPAddr) error {
	conn, err := net.DialUDP("udp", nil, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	gone := int64(0) // given up: denied or lost
	for {
		for waited := time.Now(); st.sent.Load()-st.received.Load()-gone >= unread; time.Sleep(50 * time.Microsecond) {
			if time.Since(waited) > patience {
				gone = st.sent.Load() - st.received.Load()
			}
		}
		select {
		case <-st.stop:
			return nil
		default:
		}
		if _, err := conn.Write([]byte("?")); err != nil && !errors.Is(err, unix.EHOSTUNREACH) { // rejected
			return err
		}
		st.sent.Add(1)
	}
}

// end stops the stream, and waits until all that was sent has arrived if it
// will at all.
func (st *stream) end(t *testing.T) (sent, received int64) {
	close(st.stop)
	st.senders.Wait()
	for last, quiet := int64(-1), 0; quiet < 10 && st.received.Load() < st.sent.Load(); quiet++ {
		if now := st.received.Load(); now != last {
			last, quiet = now, 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	return st.sent.Load(), st.received.Load()
}

// TestNoInstantWithoutPolicy changes everything that can be changed while one
// workload may send at all times, and another never.
func TestNoInstantWithoutPolicy(t *testing.T) {
	s := newSite(t, 3)
	state := func(i int) *policy.Update {
		u := baseUpdate(3)
		allow1 := from(policy.Side{Sets: []policy.SetID{"n"}})
		list := []policy.Rule{{Action: policy.Deny, Source: policy.Side{Nets: prefixes("10.65.0.3/32")}}, allow1}
		if i%3 == 1 {
			list = []policy.Rule{{Action: policy.Log}, from(policy.Side{NotNets: prefixes("10.65.0.3/32")})}
		}
		tiers([]policy.Action{policy.Deny, policy.Pass}[i%2], list)(u)
		p := u.Pipelines["ingress"]
		delete(u.Pipelines, p.ID)
		p.ID = fmt.Sprint("ingress", i%4) // another chain each time
		u.Pipelines[p.ID] = p
		for _, e := range u.Endpoints {
			e.Ingress = p.ID
		}
		// What lets the first workload in stays: a packet at work finds in sets
		// what is there after a change, by the rules from before it.
		members := nets("10.65.0.1/32", "172.16.0.0/12", "10.65.0.0/31", "fd00::/16")
		withSet("n", policy.Networks, members[:1+i%4]...)(u)
		u.Settings.Reject, u.Settings.AllowDNS = i%5 == 0, i%7 == 0
		if i%4 == 0 {
			hostEndpoint("*", nil)(u)
		}
		return u
	}
	last := state(0)
	s.sync(t, last)
	allowed, denied := s.stream(t, 1, 2), s.stream(t, 3, 2)
	changes := 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); changes++ {
		next := state(changes)
		switch changes % 10 {
		case 0:
			s.plane.Close()
			s.plane = s.open(t)
			s.sync(t, next)
		case 1, 2:
			s.sync(t, next)
		default:
			s.apply(t, between(last, next))
		}
		last = next
	}
	sent, received := allowed.end(t)
	deniedSent, leaked := denied.end(t)
	t.Logf("%d changes; %d of %d allowed arrived, %d of %d denied", changes, received, sent, leaked, deniedSent)
	if received < sent {
		t.Errorf("%d allowed packets were lost", sent-received)
	}
	if leaked > 0 {
		t.Errorf("%d denied packets passed", leaked)
	}
}

// TestCleanLosesNothing takes the table out under a workload that may send.
func TestCleanLosesNothing(t *testing.T) {
	s := newSite(t, 2)
	u := baseUpdate(2)
	tiers(policy.Deny, []policy.Rule{from(policy.Side{Sets: []policy.SetID{"n"}})})(u)
	withSet("n", policy.Networks, nets("10.65.0.1/32")...)(u)
	s.sync(t, u)
	allowed := s.stream(t, 1, 2)
	for range 100 {
		if err := s.plane.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.sync(t, u)
	}
	sent, received := allowed.end(t)
	t.Logf("%d of %d arrived", received, sent)
	if received < sent || sent < 1000 {
		t.Errorf("%d of %d packets arrived", received, sent)
	}
}

// TestRefused has the kernel refuse a part of a transaction.
func TestRefused(t *testing.T) {
	s := newSite(t, 2)
	u := setUpdate()
	s.sync(t, u)
	before := s.ours()
	bad := &policy.Update{
		Sets:      map[policy.SetID]*policy.SetChange{"web": {Kind: policy.Networks, Add: nets("10.1.0.0/16")}},
		Endpoints: map[resource.EndpointID]*policy.Endpoint{endpointID(2): {ID: endpointID(2), Interface: "cali2", Ingress: "nowhere", Egress: "egress"}},
	}
	err := s.plane.Apply(t.Context(), bad)
	if err == nil {
		t.Fatal("a pipeline that is not there is taken")
	}
	t.Log(err)
	if after := s.ours(); after != before {
		t.Errorf("a refused transaction left\n%s", after)
	}
	if err := s.plane.Apply(t.Context(), &policy.Update{}); err == nil {
		t.Error("apply is taken after what failed")
	}
	s.sync(t, u)
	if after := s.ours(); after != before {
		t.Errorf("sync wrote\n%s", after)
	}
}
