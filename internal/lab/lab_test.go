package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// limit is generous: states are waited for, and the machine may be busy.
const limit = 2 * time.Minute

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestTwoHostsPing(t *testing.T) {
	testenv.Need(t, "root")
	l := lab.New(t, "two")
	a, b := l.Host("a"), l.Host("b")
	l.Link(
		lab.Port{Host: a, Name: "up0", Addrs: []string{"10.1.0.1/24", "fd00::1/64"}, MAC: "02:00:00:00:00:01", MTU: 1400},
		b.Port("up0", "10.1.0.2/24", "fd00::2/64"))
	for _, dst := range []string{"10.1.0.2", "fd00::2"} {
		lab.Eventually(t, limit, "a pings "+dst, func() error { return a.Ping(addr(dst)) })
	}
	if err := a.PingFrom(addr("10.1.0.1"), addr("10.1.0.2")); err != nil {
		t.Error(err)
	}
	if err := a.Ping(addr("192.0.2.1")); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("a host has a way out of the lab: %v", err)
	}
	out := a.MustRun("ip", "link", "show", "up0")
	if !strings.Contains(out, "02:00:00:00:00:01") || !strings.Contains(out, "mtu 1400") {
		t.Errorf("up0: %s", out)
	}
}

func TestSwitchConnectsAll(t *testing.T) {
	testenv.Need(t, "root")
	l := lab.New(t, "switch")
	sw := l.Switch("sw")
	var hosts []*lab.Host
	for i := range 3 {
		h := l.Host(fmt.Sprintf("h%d", i+1))
		sw.Connect(h.Port("eth0", fmt.Sprintf("10.3.0.%d/24", i+1)))
		hosts = append(hosts, h)
	}
	for _, h := range hosts {
		for i := range hosts {
			dst := addr(fmt.Sprintf("10.3.0.%d", i+1))
			lab.Eventually(t, limit, h.Name()+" pings "+dst.String(), func() error { return h.Ping(dst) })
		}
	}
}

func TestPingerCountsExactly(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	l := lab.New(t, "pinger")
	a, b := l.Host("a"), l.Host("b")
	const mac = "02:00:00:00:00:02"
	l.Link(a.Port("up0", "10.1.0.1/24"), lab.Port{Host: b, Name: "up0", Addrs: []string{"10.1.0.2/24"}, MAC: mac})
	// Requests that wait for the address of a neighbour that is lost and found
	// again would come late, and not be lost.
	a.MustRun("ip", "neigh", "replace", "10.1.0.2", "lladdr", mac, "dev", "up0", "nud", "permanent")
	lab.Eventually(t, limit, "a reaches b", func() error { return a.Ping(addr("10.1.0.2")) })
	until := func(p *lab.Pinger, what string, reached func(lab.PingReport) bool) {
		t.Helper()
		lab.Eventually(t, limit, what, func() error {
			if r := p.Report(); !reached(r) {
				return fmt.Errorf("%s", r)
			}
			return nil
		})
	}

	p := a.StartPing(addr("10.1.0.2"), lab.PingOptions{})
	until(p, "replies", func(r lab.PingReport) bool { return r.Received >= 100 })
	if r := p.Stop(); r.Missing() > 0 || len(r.Lost) > 0 || r.Duplicates > 0 || r.SendError != nil {
		t.Errorf("without a cut: %s", r)
	}

	p = a.StartPing(addr("10.1.0.2"), lab.PingOptions{})
	until(p, "replies before the cut", func(r lab.PingReport) bool { return r.Received > 0 })
	b.SetLink("up0", false)
	cut := p.Report().Sent // what is sent from now on is lost
	until(p, "requests into the cut", func(r lab.PingReport) bool { return r.Sent > cut+50 })
	b.SetLink("up0", true)
	healed := p.Report().Received
	until(p, "replies after the cut", func(r lab.PingReport) bool { return r.Received >= healed+100 })
	r := p.Stop()
	t.Log(r)
	lost := 0
	for _, w := range r.Lost {
		lost += w.Count
	}
	if r.Missing() < 50 || lost != r.Missing() || r.Longest() <= 0 {
		t.Errorf("report of the cut: %s", r)
	}
}

func TestWorkloadsReachEachOther(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	l := lab.New(t, "workload")
	h := l.Host("h")
	h.Forward()
	h.AddAddr("lo", "169.254.1.1/32")
	w1 := h.Workload("w1", "vr1", "10.65.0.1", "fd00:65::1")
	w2 := h.Workload("w2", "vr2", "10.65.0.2", "fd00:65::2")
	for _, w := range []*lab.Workload{w1, w2} {
		for _, p := range w.Addrs {
			h.MustRun("ip", "route", "add", p.String(), "dev", w.IfName)
		}
	}
	for _, dst := range w2.Addrs {
		lab.Eventually(t, limit, "w1 pings "+dst.String(), func() error { return w1.Ping(dst.Addr()) })
	}
	if got := w2.Addr(true); got != addr("10.65.0.2") {
		t.Errorf("IPv4 address of w2: %s", got)
	}
}

func TestProcessLogsAndEnds(t *testing.T) {
	testenv.Need(t, "root")
	l := lab.New(t, "process")
	h := l.Host("h")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := h.Start("cat", []string{"sh", "-c", "echo $GREETING; cat <&3; exit 7"},
		lab.ProcessOptions{Env: []string{"GREETING=hello"}, Files: []*os.File{r}})
	lab.Eventually(t, limit, "output", func() error {
		if got := p.Output(); got != "hello\n" {
			return fmt.Errorf("output %q", got)
		}
		return nil
	})
	if !p.Running() {
		t.Error("it ended early")
	}
	_ = w.Close()
	exit := new(exec.ExitError)
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("end: %v", err)
	}
	stubborn := h.Start("stubborn", []string{"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"}, lab.ProcessOptions{})
	lab.Eventually(t, limit, "trap", func() error {
		if stubborn.Output() == "" {
			return errors.New("no output")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := stubborn.Stop(ctx); !errors.Is(err, context.Canceled) || stubborn.Running() {
		t.Errorf("stop of a process that ignores SIGTERM: %v", err)
	}
}

func TestDialInside(t *testing.T) {
	testenv.Need(t, "root")
	l := lab.New(t, "dial")
	a, b := l.Host("a"), l.Host("b")
	l.Link(a.Port("up0", "10.1.0.1/24"), b.Port("up0", "10.1.0.2/24"))
	listener, err := b.Listen(t.Context(), "tcp", "10.1.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := a.DialContext(t.Context(), "tcp", "10.1.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
