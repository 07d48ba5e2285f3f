package nftables

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// A probe is a packet from one end to another, and whether it gets through and
// is answered: "w1 > w2 ping", "w1 > w2 tcp 80", "out !> host tcp 22". With
// "4" or "6" at the end it is sent in that family only.
type probe string

func (s *site) end(name string) (h *lab.Host, v4, v6 netip.Addr) {
	switch name {
	case "host":
		return s.host, netip.MustParseAddr(hostAddr), netip.MustParseAddr(hostAddr6)
	case "out":
		return s.outside, netip.MustParseAddr(outsideAddr), netip.MustParseAddr(outsideAddr6)
	}
	var n int
	if _, err := fmt.Sscanf(name, "w%d", &n); err != nil {
		panic(err)
	}
	v4, v6 = workloadAddr(n)
	return s.workloads[n-1].Host, v4, v6
}

// check sends a probe and compares.
func (s *site) check(t *testing.T, p probe) {
	t.Helper()
	words := strings.Fields(string(p))
	want := words[1] == ">"
	from, _, _ := s.end(words[0])
	_, v4, v6 := s.end(words[2])
	to := []netip.Addr{v4, v6}
	switch words[len(words)-1] {
	case "4":
		to = to[:1]
	case "6":
		to = to[1:]
	}
	for _, addr := range to {
		if got := s.send(t, from, addr, words[3:], want); got != want {
			t.Errorf("%s to %s: got through: %t", p, addr, got)
		}
	}
}

// send tries until a packet has the wanted fate; a silent drop is seen by
// nothing but patience.
func (s *site) send(t *testing.T, from *lab.Host, to netip.Addr, what []string, want bool) bool {
	t.Helper()
	patience := 150 * time.Millisecond
	if want {
		patience = 30 * time.Second // only a failure takes so long
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	switch what[0] {
	case "ping":
		if !want {
			p := from.StartPing(to, lab.PingOptions{Interval: 20 * time.Millisecond})
			<-ctx.Done()
			return p.Abandon().Received > 0
		}
		return lab.Wait(ctx, patience, func() error {
			s.pings[from]++
			return from.Ping(to)
		}) == nil
	case "tcp":
		conn, err := from.DialContext(ctx, "tcp", net.JoinHostPort(to.String(), what[1]))
		if err != nil {
			return false
		}
		conn.Close()
		return true
	case "udp":
		return lab.Wait(ctx, patience, func() error { return echo(ctx, from, net.JoinHostPort(to.String(), what[1])) }) == nil
	}
	t.Fatalf("what is %v?", what)
	return false
}

// echo sends a datagram and waits for it to come back.
func echo(ctx context.Context, from *lab.Host, to string) error {
	conn, err := from.DialContext(ctx, "udp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := conn.Write([]byte("?")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// serve answers on ports of TCP and UDP of an end.
func (s *site) serve(t *testing.T, name string, ports ...int) {
	t.Helper()
	h, _, _ := s.end(name)
	for _, port := range ports {
		l, err := h.Listen(t.Context(), "tcp", fmt.Sprintf("[::]:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
		var u net.PacketConn
		err = h.Do(func() (err error) {
			u, err = net.ListenPacket("udp", fmt.Sprintf("[::]:%d", port))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close() })
		go func() {
			buf := make([]byte, 1500)
			for {
				n, from, err := u.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = u.WriteTo(buf[:n], from)
			}
		}()
	}
}
