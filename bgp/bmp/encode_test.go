package bmp

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	oracle "github.com/osrg/gobgp/v3/pkg/packet/bmp"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bmp/bmptest"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

var at = time.Unix(1_800_000_000, 123_456_000)

func open(t testing.TB, as uint32, id string) []byte {
	t.Helper()
	b, err := wire.AppendOpen(nil, wire.Open{
		AS: as, HoldTime: 90 * time.Second, RouterID: netip.MustParseAddr(id),
		Capabilities: wire.Capabilities{Multiprotocol: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast, bgp.IPv6Unicast)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// connection is a session with a peer at address.
func connection(t testing.TB, id uint64, local, remote string) *bgp.Connection {
	t.Helper()
	return &bgp.Connection{
		ID: id, Session: bgp.Session{Name: "peer/tor1", Peer: netip.MustParseAddr(remote)}, Up: at,
		Local: netip.AddrPortFrom(netip.MustParseAddr(local), 179), Remote: netip.AddrPortFrom(netip.MustParseAddr(remote), 40001),
		RouterID: netip.MustParseAddr("10.0.9.9"), PeerAS: 4200000001, Families: bgp.FamiliesOf(bgp.IPv4Unicast, bgp.IPv6Unicast),
		SentOpen: open(t, 64512, "192.0.2.1"), ReceivedOpen: open(t, 4200000001, "10.0.9.9"),
	}
}

func update(t testing.TB, prefix, hop string, med uint32) []byte {
	t.Helper()
	a := wire.Attributes{
		NextHop: wire.NextHop{Addr: netip.MustParseAddr(hop)}, MED: med, HasMED: true,
		ASPath: wire.ASPath{{Type: wire.ASSequence, AS: []uint32{4200000001}}},
	}
	p := netip.MustParsePrefix(prefix)
	b, err := wire.AppendAnnouncements(nil, wire.Form{}, bgp.FamilyOf(p.Addr()), a.Append(nil), func(yield func(netip.Prefix, uint32) bool) { yield(p, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// messages has one of each kind.
func messages(t testing.TB) map[string][]byte {
	four, six := connection(t, 1, "192.0.2.1", "192.0.2.2"), connection(t, 2, "2001:db8::1", "2001:db8::2")
	notice := wire.AppendNotification(nil, &wire.Notification{Code: wire.Cease, Subcode: wire.AdministrativeShutdown})
	state := bgp.PeerState{
		Received: 7, Advertised: 8,
		Families: []bgp.FamilyState{{Family: bgp.IPv4Unicast, Received: 3, Advertised: 5}, {Family: bgp.IPv6Unicast, Received: 4, Advertised: 3}},
		Stats: bgp.PeerStats{
			Loops:             map[bgp.Refusal]uint64{bgp.OwnAS: 1, bgp.OwnCluster: 2, bgp.OwnOriginator: 1<<32 + 3},
			TreatedAsWithdraw: 6,
		},
	}
	return map[string][]byte{
		"initiation":   appendInitiation(nil, "rr1", "vrouterd 1.0"),
		"termination":  appendTermination(nil, "bye"),
		"peer up":      appendPeerUp(nil, four),
		"peer up, six": appendPeerUp(nil, six),
		"down, sent":   appendPeerDown(nil, four, bgp.PeerDown{Reason: bgp.DownLocalNotification, Notification: notice}, at),
		"down, event":  appendPeerDown(nil, four, bgp.PeerDown{Reason: bgp.DownLocal, Event: 18}, at),
		"down, heard":  appendPeerDown(nil, six, bgp.PeerDown{Reason: bgp.DownRemoteNotification, Notification: notice}, at),
		"down, closed": appendPeerDown(nil, four, bgp.PeerDown{Reason: bgp.DownRemote}, at),
		"down, gone":   appendPeerDown(nil, four, bgp.PeerDown{Reason: bgp.DownDeconfigured}, at),
		"route":        appendRoute(nil, four, bgp.MonitoredUpdate{Message: update(t, "10.0.0.0/24", "192.0.2.2", 5)}, at),
		"route, post":  appendRoute(nil, six, bgp.MonitoredUpdate{Message: update(t, "2001:db8:1::/64", "2001:db8::2", 5), Post: true}, at),
		"route, short": appendRoute(nil, four, bgp.MonitoredUpdate{Message: update(t, "10.0.0.0/24", "192.0.2.2", 5), TwoByteAS: true}, at),
		"statistics":   appendReport(nil, four, state, at),
	}
}

// TestFields: every field is where RFC 7854 has it.
func TestFields(t *testing.T) {
	four := bmptest.Peer{Address: netip.MustParseAddr("192.0.2.2"), AS: 4200000001, ID: netip.MustParseAddr("10.0.9.9")}
	six := four
	six.Address = netip.MustParseAddr("2001:db8::2")
	post, short := six, four
	post.Post, short.ShortAS = true, true
	sent, received := open(t, 64512, "192.0.2.1"), open(t, 4200000001, "10.0.9.9")
	notice := wire.AppendNotification(nil, &wire.Notification{Code: wire.Cease, Subcode: wire.AdministrativeShutdown})
	want := map[string]bmptest.Message{
		"initiation":   {Type: 4, Info: map[uint16]string{1: "vrouterd 1.0", 2: "rr1"}},
		"termination":  {Type: 5, Info: map[uint16]string{0: "bye", 1: "\x00\x00"}},
		"peer up":      {Type: 3, Peer: four, Local: netip.MustParseAddr("192.0.2.1"), LocalPort: 179, RemotePort: 40001, SentOpen: sent, Received: received, Info: map[uint16]string{}},
		"peer up, six": {Type: 3, Peer: six, Local: netip.MustParseAddr("2001:db8::1"), LocalPort: 179, RemotePort: 40001, SentOpen: sent, Received: received, Info: map[uint16]string{}},
		"down, sent":   {Type: 2, Peer: four, Reason: 1, Notification: notice},
		"down, event":  {Type: 2, Peer: four, Reason: 2, Event: 18},
		"down, heard":  {Type: 2, Peer: six, Reason: 3, Notification: notice},
		"down, closed": {Type: 2, Peer: four, Reason: 4},
		"down, gone":   {Type: 2, Peer: four, Reason: 5},
		"route":        {Type: 0, Peer: four, Update: update(t, "10.0.0.0/24", "192.0.2.2", 5)},
		"route, post":  {Type: 0, Peer: post, Update: update(t, "2001:db8:1::/64", "2001:db8::2", 5)},
		"route, short": {Type: 0, Peer: short, Update: update(t, "10.0.0.0/24", "192.0.2.2", 5)},
		"statistics": {Type: 1, Peer: four, Values: map[string]uint64{
			"3": 2, "4": 1, "5": 3, "7": 7, "11": 6, "15": 8, "9/1/1": 3, "9/2/1": 4, "17/1/1": 5, "17/2/1": 3,
		}},
	}
	for what, b := range messages(t) {
		m, err := bmptest.Read(bytes.NewReader(b))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if m.Type < 4 && !m.At.Equal(at) {
			t.Errorf("%s: time %s, want %s", what, m.At, at)
		}
		m.At = time.Time{}
		if diff := cmp.Diff(want[what], *m, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: -want +got:\n%s", what, diff)
		}
	}
}

// TestOracle: GoBGP's parser reads the same, and writes it back to the octet.
func TestOracle(t *testing.T) {
	for what, b := range messages(t) {
		m, err := oracle.ParseBMPMessage(b)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if m.Header.Version != 3 || int(m.Header.Length) != len(b) {
			t.Errorf("%s: header %+v of %d octets", what, m.Header, len(b))
		}
		if p := m.PeerHeader; m.Header.Type < 4 {
			if p.PeerAS != 4200000001 || p.PeerBGPID.String() != "10.0.9.9" || p.PeerType != 0 || int64(p.Timestamp) != at.Unix() {
				t.Errorf("%s: per-peer header %+v", what, p)
			}
		}
		switch body := m.Body.(type) {
		case *oracle.BMPStatisticsReport:
			if len(body.Stats) != 10 {
				t.Errorf("%s: %d statistics, want 10", what, len(body.Stats))
			}
		case *oracle.BMPRouteMonitoring:
			if !bytes.Equal(body.BGPUpdatePayload, b[commonHeader+perPeerHeader:]) && body.BGPUpdate == nil {
				t.Errorf("%s: no UPDATE", what)
			}
		case *oracle.BMPPeerUpNotification:
			if body.LocalPort != 179 || body.RemotePort != 40001 || body.SentOpenMsg == nil || body.ReceivedOpenMsg == nil {
				t.Errorf("%s: %+v", what, body)
			}
		}
	}
}

// TestTshark: Wireshark's dissector finds nothing malformed.
func TestTshark(t *testing.T) {
	testenv.Need(t, "program:tshark", "program:text2pcap")
	var dump strings.Builder
	n := 0
	for _, b := range messages(t) {
		n++
		for i := 0; i < len(b); i += 16 {
			dump.WriteString(hexLine(i, b[i:min(i+16, len(b))]))
		}
		dump.WriteByte('\n')
	}
	dir := t.TempDir()
	text, pcap := filepath.Join(dir, "bmp.txt"), filepath.Join(dir, "bmp.pcap")
	if err := os.WriteFile(text, []byte(dump.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(testenv.Program("text2pcap"), "-q", "-T", "40002,11019", text, pcap).CombinedOutput(); err != nil {
		t.Fatalf("text2pcap: %v: %s", err, out)
	}
	out, err := exec.Command(testenv.Program("tshark"), "-r", pcap, "-d", "tcp.port==11019,bmp", "-V").CombinedOutput()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, out)
	}
	shown := string(out)
	if got := strings.Count(shown, "BGP Monitoring Protocol, Type"); got != n {
		t.Errorf("tshark shows %d messages, want %d:\n%s", got, n, shown)
	}
	for _, bad := range []string{"Malformed", "Unknown (", "[Expert Info (Error"} {
		if i := strings.Index(shown, bad); i >= 0 {
			t.Errorf("tshark says %s:\n%s", bad, shown[max(0, i-2000):min(len(shown), i+300)])
		}
	}
}

func hexLine(offset int, b []byte) string {
	const digits = "0123456789abcdef"
	line := []byte{}
	for shift := 12; shift >= 0; shift -= 4 {
		line = append(line, digits[offset>>shift&15])
	}
	for _, c := range b {
		line = append(line, ' ', digits[c>>4], digits[c&15])
	}
	return string(append(line, '\n'))
}
