package mrt

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"
	oracle "github.com/osrg/gobgp/v3/pkg/packet/mrt"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// table is a Speaker that only shows what it has.
type table struct {
	bgp.Speaker
	peers   []bgp.PeerState
	entries []bgp.Entry
}

func (t table) Peers() []bgp.PeerState               { return t.peers }
func (t table) Routes(bgp.Query) iter.Seq[bgp.Entry] { return slices.Values(t.entries) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// sample has a path of each kind: with octets and without, of both families, an
// IPv4 route with an IPv6 next hop, path identifiers, our own, a session that
// came up after the peers were listed.
func sample() table {
	at := time.Unix(1_790_000_000, 0)
	peer := func(name, address string, as uint32) bgp.PeerState {
		return bgp.PeerState{
			Session: bgp.Session{Name: name, Peer: addr(address), PeerAS: as}, RouterID: addr("10.0.9.9"), Since: at,
		}
	}
	entry := func(prefix, hop, session, peer string, change func(*wire.Attributes)) bgp.Entry {
		a := wire.Attributes{NextHop: wire.NextHop{Addr: addr(hop)}, LocalPref: 100, HasLocalPref: true, ASPath: wire.ASPath{{Type: wire.ASSequence, AS: []uint32{65001, 4200000000}}}}
		if change != nil {
			change(&a)
		}
		e := bgp.Entry{Path: bgp.Path{Prefix: netip.MustParsePrefix(prefix), NextHop: addr(hop)}, Session: session, Raw: a.Append(nil)}
		if peer != "" {
			e.Peer = addr(peer)
		}
		return e
	}
	withID := func(e bgp.Entry, id uint32) bgp.Entry {
		e.PathID = id
		return e
	}
	own := entry("10.0.0.7/32", "192.0.2.1", "", "", nil)
	own.Own = true
	plain := bgp.Entry{Session: "four", Path: bgp.Path{
		Prefix: netip.MustParsePrefix("10.0.0.8/32"), Peer: addr("192.0.2.2"), NextHop: addr("192.0.2.2"), ASPath: []uint32{65001},
		LocalPref: 100, MED: 5, Communities: []bgp.Community{64512<<16 | 1},
	}}
	return table{
		peers: []bgp.PeerState{peer("four", "192.0.2.2", 65001), peer("six", "2001:db8::2", 4200000000)},
		entries: []bgp.Entry{
			own, plain,
			entry("10.1.0.0/16", "192.0.2.2", "four", "192.0.2.2", func(a *wire.Attributes) {
				a.OriginatorID, a.ClusterList = addr("10.0.0.3"), []netip.Addr{addr("1.0.0.1")}
			}),
			withID(entry("10.2.0.0/24", "192.0.2.2", "four", "192.0.2.2", nil), 7),
			withID(entry("10.2.0.0/24", "2001:db8::2", "six", "2001:db8::2", nil), 0),
			entry("10.3.0.0/24", "192.0.2.9", "new", "192.0.2.9", nil),
			entry("2001:db8:1::/64", "2001:db8::2", "six", "2001:db8::2", nil),
			withID(entry("2001:db8:2::/64", "2001:db8::2", "six", "2001:db8::2", nil), 3),
		},
	}
}

func dumped(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	o := Options{RouterID: addr("192.0.2.1"), ASN: 64512, View: "rr1", Time: time.Unix(1_800_000_000, 0)}
	if err := Dump(&b, sample(), o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDump reads the dump with GoBGP's parser.
func TestDump(t *testing.T) {
	var got []string
	for data := dumped(t); len(data) > 0; {
		n, record, err := oracle.SplitMrt(data, true)
		if err != nil || n == 0 {
			t.Fatalf("%d octets are no record: %v", len(data), err)
		}
		data = data[n:]
		var h oracle.MRTHeader
		if err := h.DecodeFromBytes(record); err != nil {
			t.Fatal(err)
		}
		m, err := oracle.ParseMRTBody(&h, record[oracle.MRT_COMMON_HEADER_LEN:])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, recordText(t, m)...)
	}
	want := []string{
		"peers of 192.0.2.1 rr1 at 1800000000", "0.0.0.0 64512 192.0.2.1", "192.0.2.2 65001 10.0.9.9", "2001:db8::2 4200000000 10.0.9.9",
		"0 10.0.0.7/32", "  from 0 since 1800000000 id 0: Origin AsPath Nexthop LocalPref via 192.0.2.1",
		"1 10.0.0.8/32", "  from 1 since 1790000000 id 0: Origin AsPath Nexthop Med LocalPref Communities via 192.0.2.2",
		"2 10.1.0.0/16", "  from 1 since 1790000000 id 0: Origin AsPath Nexthop LocalPref Originator ClusterList via 192.0.2.2",
		"3 10.2.0.0/24", "  from 1 since 1790000000 id 7: Origin AsPath Nexthop LocalPref via 192.0.2.2",
		"  from 2 since 1790000000 id 0: Origin AsPath MpReachNLRI LocalPref via 2001:db8::2",
		"4 2001:db8:1::/64", "  from 2 since 1790000000 id 0: Origin AsPath MpReachNLRI LocalPref via 2001:db8::2",
		"5 2001:db8:2::/64", "  from 2 since 1790000000 id 3: Origin AsPath MpReachNLRI LocalPref via 2001:db8::2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func recordText(t *testing.T, m *oracle.MRTMessage) []string {
	t.Helper()
	switch body := m.Body.(type) {
	case *oracle.PeerIndexTable:
		lines := []string{fmt.Sprintf("peers of %s %s at %d", body.CollectorBgpId, body.ViewName, m.Header.Timestamp)}
		for _, p := range body.Peers {
			lines = append(lines, fmt.Sprintf("%s %d %s", p.IpAddress, p.AS, p.BgpId))
		}
		return lines
	case *oracle.Rib:
		lines := []string{fmt.Sprintf("%d %s", body.SequenceNumber, body.Prefix)}
		for _, e := range body.Entries {
			names, via := "", ""
			for _, a := range e.PathAttributes {
				name := fmt.Sprintf("%T", a)
				names += " " + strings.TrimPrefix(name, "*bgp.PathAttribute")
				switch a := a.(type) {
				case *gobgp.PathAttributeNextHop:
					via = a.Value.String()
				case *gobgp.PathAttributeMpReachNLRI:
					via = a.Nexthop.String()
				}
			}
			names = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(names, "NextHop", "Nexthop"), "MultiExitDisc", "Med"), "OriginatorId", "Originator")
			lines = append(lines, fmt.Sprintf("  from %d since %d id %d:%s via %s", e.PeerIndex, e.OriginatedTime, e.PathIdentifier, names, via))
		}
		return lines
	}
	t.Fatalf("record %T", m.Body)
	return nil
}

// TestBgpdump reads the dump with bgpdump.
func TestBgpdump(t *testing.T) {
	testenv.Need(t, "program:bgpdump")
	path := filepath.Join(t.TempDir(), "rib.mrt")
	if err := os.WriteFile(path, dumped(t), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(testenv.Program("bgpdump"), "-m", path)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	for _, part := range []string{
		"|B|0.0.0.0|64512|10.0.0.7/32|65001 4200000000|INCOMPLETE|192.0.2.1|",
		"|B|192.0.2.2|65001|10.1.0.0/16|65001 4200000000|",
		"|B|2001:db8::2|4200000000|2001:db8:1::/64|65001 4200000000|",
	} {
		if !strings.Contains(strings.ReplaceAll(string(out), "|IGP|", "|INCOMPLETE|"), part) {
			t.Errorf("bgpdump lacks %s:\n%s", part, out)
		}
	}
	if lines := strings.Count(string(out), "\n"); lines != 7 {
		t.Errorf("bgpdump shows %d paths, want 7:\n%s%s", lines, out, errs.String())
	}
}

// full refuses what is written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestDumpToFullDisk(t *testing.T) {
	if err := Dump(full{}, sample(), Options{RouterID: addr("192.0.2.1")}); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("error %v", err)
	}
}
