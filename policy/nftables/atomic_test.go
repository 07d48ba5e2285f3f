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

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// A stream is a thousand datagrams a second, each the first of its connection,
// so that each is judged by policy.
type stream struct {
	sent, received atomic.Int64
	stop           chan struct{}
	done           sync.WaitGroup
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
	_ = conn.SetReadBuffer(4 << 20)
	target := netip.AddrPortFrom(v4, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	st.done.Go(func() {
		for {
			if _, err := conn.Read(make([]byte, 16)); err != nil {
				return
			}
			st.received.Add(1)
		}
	})
	st.done.Go(func() {
		err := s.workloads[from-1].Do(func() error { return st.send(target) })
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		conn.Close()
		st.done.Wait()
	})
	return st
}

func (st *stream) send(to netip.AddrPort) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-st.stop:
			return nil
		case <-tick.C:
		}
		conn, err := net.Dial("udp", to.String())
		if err != nil {
			return err
		}
		_, err = conn.Write([]byte("?"))
		conn.Close()
		if err != nil {
			return err
		}
		st.sent.Add(1)
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
		members := nets("10.65.0.1/32", "10.65.0.0/31", "172.16.0.0/12", "fd00::/16")
		withSet("n", policy.Networks, append(members[i%2:1+i%2], members[2:2+i%3]...)...)(u)
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
	close(allowed.stop)
	close(denied.stop)
	lab.Eventually(t, 10*time.Second, "what was sent", func() error {
		if allowed.received.Load() < allowed.sent.Load() {
			return errors.New("lost")
		}
		return nil
	})
	t.Logf("%d changes; %d of %d allowed arrived, %d of %d denied", changes,
		allowed.received.Load(), allowed.sent.Load(), denied.received.Load(), denied.sent.Load())
	if n := denied.received.Load(); n > 0 {
		t.Errorf("%d denied packets passed", n)
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
