package session

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

func TestDialWords(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for _, c := range []struct {
		ctx   context.Context
		local string
		want  string
	}{
		{t.Context(), "127.0.0.1:0", "connection refused"},
		{t.Context(), "203.0.113.1:0", "bind: cannot assign requested address"},
		{ctx, "127.0.0.1:0", "no answer"},
	} {
		_, err := Dial(c.ctx, Config{Peer: netip.MustParseAddrPort("127.0.0.254:1"), Local: netip.MustParseAddrPort(c.local)})
		if err == nil || transportWords(err) != c.want {
			t.Errorf("from %s: %v, want %q", c.local, err, c.want)
		}
	}
}

func TestRetain(t *testing.T) {
	plain := wire.Negotiated{GracefulRestart: true}
	with := wire.Negotiated{GracefulRestart: true, Notification: true}
	cease := &wire.Notification{Code: wire.Cease, Subcode: wire.AdministrativeShutdown}
	for _, c := range []struct {
		name string
		n    wire.Negotiated
		why  Reason
		want bool
	}{
		{"no graceful restart", wire.Negotiated{}, Reason{}, false},
		{"connection lost", plain, Reason{}, true},
		{"notification received", plain, Reason{Received: cease}, false},
		{"notification sent", plain, Reason{Sent: cease}, false},
		{"notification received, RFC 8538", with, Reason{Received: cease}, true},
		{"hold timer, RFC 8538", with, Reason{Sent: &wire.Notification{Code: wire.HoldTimerExpired}}, true},
		{"hard reset received", with, Reason{Received: cease.Hard()}, false},
		{"hard reset sent", with, Reason{Sent: cease.Hard()}, false},
	} {
		if got := retain(c.n, c.why); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if n := sendable(cease.Hard(), false); n.Subcode != wire.AdministrativeShutdown {
		t.Errorf("hard reset to a peer that does not know it: %s", n)
	}
}

func TestCheckNamesEveryProblem(t *testing.T) {
	err := Config{
		Peer: netip.MustParseAddrPort("10.0.0.2:179"), Local: netip.MustParseAddrPort("[fd00::1]:0"),
		Hold: 2 * time.Second, TTLSecurity: 1, Multihop: 2,
	}.Check()
	const want = `session  with 10.0.0.2:179: local address fd00::1 and peer 10.0.0.2 are of two families
0 is not an AS number
the router id invalid IP is no IPv4 address
hold time 2s is neither none nor 3 s to 65535 s
TTL security and multihop exclude each other`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
