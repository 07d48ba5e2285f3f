package nftables

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// A stream is datagrams as fast as one sender can, of workloads by turns, each
// judged by policy: none is answered, so that all are the first of their
// connection. The first workload may send, the others may not.
type stream struct {
	may            netip.Addr
	sent, received atomic.Int64 // of the workload that may send
	denied, leaked atomic.Int64 // of the others
	stop           chan struct{}
	sender         sync.WaitGroup
}

func (s *site) stream(t *testing.T, to int, from ...int) *stream {
	t.Helper()
	st := &stream{stop: make(chan struct{})}
	st.may, _ = workloadAddr(from[0])
	receiver := s.receiver(t, to)
	var receivers sync.WaitGroup
	receivers.Go(func() { st.receive(receiver) })
	t.Cleanup(func() {
		receiver.Close()
		receivers.Wait()
	})
	var conns []*net.UDPConn
	for _, n := range from {
		err := s.workloads[n-1].Do(func() error {
			conn, err := net.DialUDP("udp", nil, receiver.LocalAddr().(*net.UDPAddr))
			conns = append(conns, conn)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	st.sender.Go(func() {
		if err := st.send(conns); err != nil {
			t.Error(err)
		}
	})
	return st
}

// receiver is a socket of a workload with room for all that is under way.
func (s *site) receiver(t *testing.T, workload int) *net.UDPConn {
	t.Helper()
	v4, _ := workloadAddr(workload)
	var conn *net.UDPConn
	err := s.workloads[workload-1].Do(func() (err error) {
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
	return conn
}

func (st *stream) receive(conn *net.UDPConn) {
	for {
		_, from, err := conn.ReadFromUDPAddrPort(make([]byte, 16))
		if err != nil {
			return
		}
		if from.Addr().Unmap() == st.may {
			st.received.Add(1)
		} else {
			st.leaked.Add(1)
		}
	}
}

// A sender waits for what may be sent to arrive before it sends more: the
// kernel queues few packets for a processor that is busy. What does not arrive
// for so long is lost.
const (
	unread   = 100
	patience = 10 * time.Second
)

func (st *stream) send(conns []*net.UDPConn) error {
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	lost := int64(0)
	for {
		for waited := time.Now(); st.sent.Load()-st.received.Load()-lost >= unread; time.Sleep(50 * time.Microsecond) {
			if time.Since(waited) > patience {
				lost = st.sent.Load() - st.received.Load()
			}
		}
		select {
		case <-st.stop:
			return nil
		default:
		}
		for i, conn := range conns {
			if _, err := conn.Write([]byte("?")); err != nil && !errors.Is(err, unix.EHOSTUNREACH) { // rejected
				return err
			}
			if i == 0 {
				st.sent.Add(1)
			} else {
				st.denied.Add(1)
			}
		}
	}
}

// end stops the stream, and waits until all that may be sent has arrived: only a
// loss takes long. It checks that no more has.
func (st *stream) end(t *testing.T) {
	t.Helper()
	close(st.stop)
	st.sender.Wait()
	_ = lab.Wait(t.Context(), 30*time.Second, func() error {
		if st.received.Load() < st.sent.Load() {
			return errors.New("some are under way")
		}
		return nil
	})
	t.Logf("%d of %d allowed arrived, %d of %d denied", st.received.Load(), st.sent.Load(), st.leaked.Load(), st.denied.Load())
	if lost := st.sent.Load() - st.received.Load(); lost > 0 {
		t.Errorf("%d allowed packets were lost", lost)
	}
	if leaked := st.leaked.Load(); leaked > 0 {
		t.Errorf("%d denied packets passed", leaked)
	}
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
	packets := s.stream(t, 2, 1, 3)
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
	t.Logf("%d changes", changes)
	packets.end(t)
}

// TestCleanLosesNothing takes the table out under a workload that may send.
func TestCleanLosesNothing(t *testing.T) {
	s := newSite(t, 2)
	u := baseUpdate(2)
	tiers(policy.Deny, []policy.Rule{from(policy.Side{Sets: []policy.SetID{"n"}})})(u)
	withSet("n", policy.Networks, nets("10.65.0.1/32")...)(u)
	s.sync(t, u)
	packets := s.stream(t, 2, 1)
	for i := 0; !t.Failed() && (i < 100 || packets.sent.Load() < 1000); i++ {
		if err := s.plane.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.sync(t, u)
	}
	packets.end(t)
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
