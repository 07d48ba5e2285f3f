package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// feeder is a BGP speaker that tells what it has in one go, as fast as it is
// read: a router would be measured with the one that learns. (BIRD 2.0.12 stops
// for three seconds in the middle of a large table.)
type feeder struct {
	cancel context.CancelFunc
	done   errgroup.Group

	mu   sync.Mutex
	conn net.Conn // of the session that was fed last; nil: none yet
}

// feederRoutes is n routes over that many next hops as UPDATEs, with the
// End-of-RIB after them.
func feederRoutes(t testing.TB, n, nextHops int) []byte {
	t.Helper()
	var out []byte
	for hop := range nextHops {
		a := wire.Originated(bgp.Attributes{LocalPref: 100})
		a.NextHop = wire.NextHop{Addr: benchNextHop(hop)}
		packer := wire.NewPacker(wire.Form{})
		var err error
		if out, err = packer.Announce(out, bgp.IPv4Unicast, a.Append(nil)); err != nil {
			t.Fatal(err)
		}
		for i := hop; i < n; i += nextHops {
			out = packer.Add(out, netip.PrefixFrom(benchAddress(i), 32), 0)
		}
		out = packer.Close(out)
	}
	return wire.AppendEndOfRIB(out, bgp.IPv4Unicast)
}

// startFeeder dials the learner from h until there is a session, and feeds it.
func startFeeder(t testing.TB, h *lab.Host, routes []byte) *feeder {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &feeder{cancel: cancel}
	f.done.Go(func() error {
		for ctx.Err() == nil {
			// A learner that starts refuses the first connections. One that never
			// takes one is noticed by who waits for the routes.
			_ = f.feed(ctx, h, routes)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
		return nil
	})
	return f
}

func (f *feeder) stop() {
	f.cancel()
	_ = f.done.Wait() // never fails
}

// send sends more on a session that was fed. Who was fed may know that before
// the feeder does.
func (f *feeder) send(t testing.TB, updates []byte) {
	t.Helper()
	var conn net.Conn
	lab.Eventually(t, fabric.Limit, "a session was fed", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if conn = f.conn; conn == nil {
			return errors.New("none was")
		}
		return nil
	})
	if _, err := conn.Write(updates); err != nil {
		t.Fatal(err)
	}
}

// feed holds one session until it ends.
func (f *feeder) feed(ctx context.Context, h *lab.Host, routes []byte) error {
	conn, err := h.DialContext(ctx, "tcp", netip.AddrPortFrom(netip.MustParseAddr(learnerAddress), 179).String())
	if err != nil {
		return nil // not there yet
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	open, err := wire.AppendOpen(nil, wire.Open{
		AS: 64512, HoldTime: 10 * time.Minute, RouterID: netip.MustParseAddr(feederAddress),
		Capabilities: wire.Capabilities{
			Multiprotocol: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast), FourByteAS: true, AS: 64512,
		},
	})
	if err != nil {
		return err
	}
	if _, err := conn.Write(open); err != nil {
		return err
	}
	return f.answer(conn, routes)
}

// answer reads to the end of a session; the first KEEPALIVE makes it, and is
// answered by all routes.
func (f *feeder) answer(conn net.Conn, routes []byte) error {
	in := wire.NewReader(conn, wire.MaxMessage)
	fed := false
	for {
		m, err := in.Next()
		if err != nil {
			return err
		}
		switch m.Type {
		case wire.TypeOpen:
			_, err = conn.Write(wire.AppendKeepalive(nil))
		case wire.TypeKeepalive:
			if !fed {
				fed = true
				f.mu.Lock()
				f.conn = conn // before: who sees the last route may send at once, and waits for this write
				f.mu.Unlock()
				_, err = conn.Write(routes)
				break
			}
			_, err = conn.Write(wire.AppendKeepalive(nil))
		case wire.TypeNotification:
			n, _ := wire.ParseNotification(m.Body)
			return fmt.Errorf("told: %w", n)
		}
		if err != nil {
			return err
		}
	}
}
