package session

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// FuzzPeer is a peer that sends any octets, in pieces, and then hangs up or
// says nothing more. Virtual time finds whoever waits for ever, and the bubble
// whoever is left over.
func FuzzPeer(f *testing.F) {
	open, err := wire.AppendOpen(nil, wire.Open{
		AS: 64512, HoldTime: 9 * time.Second, RouterID: netip.MustParseAddr("192.0.2.2"),
		Capabilities: wire.Capabilities{RouteRefresh: true, ExtendedMessage: true},
	})
	if err != nil {
		f.Fatal(err)
	}
	full, err := wire.AppendOpen(nil, wire.Open{
		AS: 64512, HoldTime: 0, RouterID: netip.MustParseAddr("192.0.2.3"),
		Capabilities: wire.Capabilities{
			Multiprotocol: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast, bgp.IPv6Unicast), ExtendedNextHop: true,
			EnhancedRefresh: true, RouteRefresh: true, Role: bgp.RolePeer,
			AddPathReceive: bgp.FamiliesOf(bgp.IPv4Unicast), AddPathSend: bgp.FamiliesOf(bgp.IPv6Unicast),
			GracefulRestart: &wire.GracefulRestart{Restarting: true, Notification: true, Families: bgp.FamiliesOf(bgp.IPv6Unicast)},
			LongLived:       []wire.LongLived{{Family: bgp.IPv4Unicast, Forwarding: true, Time: time.Hour}},
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	keepalive := wire.AppendKeepalive(nil)
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	refresh := wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: bgp.IPv4Unicast})
	cease := wire.AppendNotification(nil, &wire.Notification{Code: wire.Cease, Subcode: wire.AdministrativeReset})
	hard := wire.AppendNotification(nil, (&wire.Notification{Code: wire.Cease, Subcode: wire.MaxPrefixes}).Hard())
	for _, seed := range [][]byte{
		full, join(full, keepalive), join(full, keepalive, endOfRIB, hard), join(full, keepalive, refresh, refresh[:20], full),
		nil, open, join(open, keepalive), join(open, keepalive, endOfRIB, refresh, keepalive),
		join(open, keepalive, cease), join(open, open), join(keepalive), join(open, keepalive, open), join(open, keepalive, endOfRIB[:20]),
	} {
		f.Add(seed, uint8(0), false)
		f.Add(seed, uint8(7), true)
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, hangUp bool) {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			p, err := NewTransport(testLog(), nil).New(Config{
				Peer: netip.MustParseAddrPort("192.0.2.2:179"), Passive: true,
				LocalAS: 64512, PeerAS: 64512, RouterID: netip.MustParseAddr("192.0.2.1"),
			}, e)
			if err != nil {
				t.Fatal(err)
			}
			p.Start()
			ours, theirs := net.Pipe()
			p.Accept(ours)
			go func() { _, _ = io.Copy(io.Discard, theirs) }() // ends with the pipe
			for rest := stream; len(rest) > 0; {
				n := len(rest)
				if piece > 0 {
					n = min(n, int(piece))
				}
				if _, err := theirs.Write(rest[:n]); err != nil {
					break // closed by the session
				}
				rest = rest[n:]
			}
			if hangUp {
				theirs.Close()
			}
			synctest.Wait()
			if up := p.State() == bgp.Established; up != e.up() {
				t.Errorf("state %s, the engine knows of a session: %t", p.State(), e.up())
			}
			time.Sleep(openHold + bgp.DefaultHold + time.Second) // longer than any hold time
			if s := p.Status(); s.State != bgp.Active && s.Negotiated != nil && s.Negotiated.HoldTime > 0 || e.up() != (s.State == bgp.Established) {
				t.Errorf("%s after a long silence: %q", s.State, s.LastError)
			}
			p.Stop(&wire.Notification{Code: wire.Cease, Subcode: wire.PeerDeconfigured})
			<-p.Done()
			if e.up() {
				t.Error("the engine has not heard of the end")
			}
			theirs.Close()
			synctest.Wait()
		})
	})
}
