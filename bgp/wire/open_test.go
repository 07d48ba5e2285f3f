package wire

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

func fullOpen() Open {
	return Open{AS: 4200000000, HoldTime: 90 * time.Second, RouterID: addr("192.0.2.1"), Capabilities: Capabilities{
		Multiprotocol: true, Families: both, Others: []FamilyCode{{AFI: 25, SAFI: 70}}, FourByteAS: true, AS: 4200000000,
		RouteRefresh: true, EnhancedRefresh: true, ExtendedMessage: true, ExtendedNextHop: true,
		AddPathReceive: both, AddPathSend: bgp.FamiliesOf(bgp.IPv6Unicast), Role: bgp.RolePeer,
		GracefulRestart: &GracefulRestart{Restarting: true, Notification: true, Time: 4095 * time.Second, Families: both, Forwarding: bgp.FamiliesOf(bgp.IPv4Unicast)},
		LongLived:       []LongLived{{Family: bgp.IPv4Unicast, Forwarding: true, Time: 16777215 * time.Second}, {Family: bgp.IPv6Unicast}},
	}}
}

func TestOpenRoundTrip(t *testing.T) {
	large := fullOpen()
	for i := range 50 {
		large.Capabilities.Others = append(large.Capabilities.Others, FamilyCode{AFI: 1, SAFI: uint8(100 + i)})
	}
	plain := Open{AS: 65001, HoldTime: 0, RouterID: addr("192.0.2.1")}
	plain.Capabilities.FourByteAS, plain.Capabilities.AS = true, 65001
	for name, o := range map[string]Open{"full": fullOpen(), "extended parameters": large, "plain": plain} {
		b, err := AppendOpen([]byte("before"), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b = b[len("before"):]
		if _, length, err := CheckHeader(b, false); err != nil || length != len(b) {
			t.Errorf("%s: %d of %d octets, %v", name, length, len(b), err)
		}
		if got, err := ParseOpen(b[HeaderLen:]); err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("%s: %v\n%+v\n%+v", name, err, got, o)
		}
	}
}

func TestAppendOpenRefuses(t *testing.T) {
	for name, change := range map[string]func(*Open){
		"AS 0":         func(o *Open) { o.AS = 0 },
		"router id":    func(o *Open) { o.RouterID = addr("0.0.0.0") },
		"IPv6 id":      func(o *Open) { o.RouterID = addr("::1") },
		"hold 2":       func(o *Open) { o.HoldTime = 2 * time.Second },
		"hold long":    func(o *Open) { o.HoldTime = 65536 * time.Second },
		"restart time": func(o *Open) { o.Capabilities.GracefulRestart.Time = 4096 * time.Second },
		"stale time":   func(o *Open) { o.Capabilities.LongLived[0].Time = 16777216 * time.Second },
		"too long":     func(o *Open) { o.Capabilities.Others = make([]FamilyCode, 700) },
	} {
		o := fullOpen()
		change(&o)
		if b, err := AppendOpen(nil, o); err == nil || len(b) != 0 {
			t.Errorf("%s: %x, %v", name, b, err)
		}
	}
}

func TestParseOpen(t *testing.T) {
	const head = "04 fde9 005a c0000201 "
	for _, c := range []struct{ name, body, want string }{
		{"no parameters", head + "00", ""},
		{"version 3", "03 fde9 005a c0000201 00", "2/1 0004"},
		{"version 5", "05 fde9 005a c0000201 00", "2/1 0004"},
		{"AS 0", "04 0000 005a c0000201 00", "2/2 "},
		{"AS 0 in the capability", head + "08 02 06 41 04 00000000", "2/2 "},
		{"hold time 1", "04 fde9 0001 c0000201 00", "2/6 "},
		{"hold time 2", "04 fde9 0002 c0000201 00", "2/6 "},
		{"hold time 3", "04 fde9 0003 c0000201 00", ""},
		{"hold time 0", "04 fde9 0000 c0000201 00", ""},
		{"identifier 0", "04 fde9 005a 00000000 00", "2/3 "},
		{"authentication", head + "03 01 01 00", "2/4 "},
		{"parameters cut off", head + "04 02 02 02", "2/0 "},
		{"more than parameters", head + "00 02", "2/0 "},
		{"parameter overruns", head + "04 02 03 02 00", "2/0 "},
		{"parameter of one octet", head + "01 02", "2/0 "},
		{"empty parameter", head + "02 02 00", ""},
		{"capability overruns", head + "04 02 02 41 04", "2/0 "},
		{"capability of one octet", head + "03 02 01 41", "2/0 "},
		{"multiprotocol of 3", head + "07 02 05 01 03 000100", "2/0 "},
		{"refresh of 1", head + "05 02 03 02 01 00", "2/0 "},
		{"AS of 2", head + "06 02 04 41 02 fde9", "2/0 "},
		{"restart of 1", head + "05 02 03 40 01 00", "2/0 "},
		{"restart of 5", head + "09 02 07 40 05 0078 000101", "2/0 "},
		{"add-path of 3", head + "07 02 05 45 03 000101", "2/0 "},
		{"add-path of 0", head + "04 02 02 45 00", "2/0 "},
		{"next hop of 5", head + "09 02 07 05 05 0001000100", "2/0 "},
		{"long-lived of 6", head + "0a 02 08 47 06 000101000000", "2/0 "},
		{"role of 2", head + "06 02 04 09 02 0000", "2/0 "},
		{"two roles", head + "08 02 06 09 01 00 09 01 03", "2/11 "},
		{"one role twice", head + "08 02 06 09 01 03 09 01 03", ""},
		{"unknown role", head + "05 02 03 09 01 63", ""},
		{"unknown capability", head + "06 02 04 49 02 4142", ""},
		{"extended", head + "ff ff 0007 02 0004 41020000", "2/0 "},
		{"extended, good", head + "ff ff 0009 02 0006 4104 0000fde9", ""},
		{"extended, other first length", head + "05 ff 0009 02 0006 4104 0000fde9", ""},
		{"extended, cut off", head + "ff ff 000a 02 0006 4104 0000fde9", "2/0 "},
		{"extended, parameter of two octets", head + "ff ff 0002 02 00", "2/0 "},
		{"too short", "04 fde9", "1/2 0016"},
	} {
		o, err := ParseOpen(unhex(t, c.body))
		var n *Notification
		switch {
		case c.want == "" && (err != nil || o.AS != 65001 || o.RouterID != addr("192.0.2.1")):
			t.Errorf("%s: %+v, %v", c.name, o, err)
		case c.want != "" && (!errors.As(err, &n) || fmt.Sprintf("%d/%d %x", n.Code, n.Subcode, n.Data) != c.want):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestParseCapabilities(t *testing.T) {
	var c Capabilities
	err := c.parse(unhex(t, `01 04 0001 00 01  01 04 0001 00 01  01 04 0019 00 46  49 00  49 00
		45 08 0001 01 03 0002 01 04  05 0c 0001 0001 0002 0001 0080 0002
		40 02 0078  40 06 8078 0002 01 80  47 0e 0001 01 00 00000a 0001 01 80 00000b`))
	want := Capabilities{
		Multiprotocol: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast), Others: []FamilyCode{{25, 70}}, Unknown: []uint8{0x49},
		AddPathReceive: bgp.FamiliesOf(bgp.IPv4Unicast), AddPathSend: bgp.FamiliesOf(bgp.IPv4Unicast), ExtendedNextHop: true,
		GracefulRestart: &GracefulRestart{Restarting: true, Time: 120 * time.Second, Families: bgp.FamiliesOf(bgp.IPv6Unicast), Forwarding: bgp.FamiliesOf(bgp.IPv6Unicast)},
		LongLived:       []LongLived{{Family: bgp.IPv4Unicast, Forwarding: true, Time: 11 * time.Second}},
	}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%v\n%+v\n%+v", err, c, want)
	}
	if names := fmt.Sprint(c.Names()); names != "[ipv4-unicast extended-nexthop graceful-restart add-path long-lived-graceful-restart]" {
		t.Error(names)
	}
}

func TestNegotiate(t *testing.T) {
	a, b := fullOpen(), fullOpen()
	b.AS, b.HoldTime, b.Capabilities.AddPathReceive = 65001, 30*time.Second, bgp.FamiliesOf(bgp.IPv4Unicast)
	n, err := Negotiate(a, b, true)
	want := Negotiated{
		PeerAS: 65001, External: true, Families: both, HoldTime: 30 * time.Second,
		FourByteAS: true, RouteRefresh: true, EnhancedRefresh: true, ExtendedMessage: true, ExtendedNextHop: true,
		AddPathReceive: bgp.FamiliesOf(bgp.IPv6Unicast), AddPathSend: 0,
		GracefulRestart: true, Notification: true, LongLived: true,
	}
	if err != nil || n != want {
		t.Errorf("%v\n%+v\n%+v", err, n, want)
	}
	// A peer without capabilities speaks IPv4 with two octets.
	old := Open{AS: 65001, HoldTime: 0, RouterID: addr("192.0.2.2")}
	n, err = Negotiate(a, old, false)
	if want := (Negotiated{PeerAS: 65001, External: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast)}); err != nil || n != want {
		t.Errorf("%v\n%+v", err, n)
	}
	if f := n.Form(); !f.TwoByteAS || f.Max != MaxMessage {
		t.Errorf("%+v", f)
	}
	refuse := func(name string, local, peer Open, strict bool, want string) {
		t.Helper()
		var n *Notification
		if _, err := Negotiate(local, peer, strict); !errors.As(err, &n) || fmt.Sprintf("%d/%d %x", n.Code, n.Subcode, n.Data) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	six := fullOpen()
	six.Capabilities.Families = bgp.FamiliesOf(bgp.IPv6Unicast)
	refuse("no family in common", six, old, false, "2/7 010400020001")
	refuse("our own identifier", a, a, false, "2/3 ")
	refuse("no role, strictly", a, old, true, "2/11 ")
	provider := fullOpen()
	provider.Capabilities.Role = bgp.RoleProvider
	refuse("roles", provider, b, false, "2/11 ")
	for local, peer := range map[bgp.Role]bgp.Role{
		bgp.RoleProvider: bgp.RoleCustomer, bgp.RoleCustomer: bgp.RoleProvider, bgp.RolePeer: bgp.RolePeer,
		bgp.RoleRouteServer: bgp.RoleRouteServerClient, bgp.RoleRouteServerClient: bgp.RoleRouteServer,
	} {
		if !local.Fits(peer) {
			t.Errorf("%s with %s", local, peer)
		}
	}
}
