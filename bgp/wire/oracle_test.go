package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// oracle is what GoBGP's codec makes of the body of an UPDATE, as text that
// ours can be compared with. False: it refuses, finds fault, or panics.
func oracle(body []byte, o Options) (text string, ok bool) {
	defer func() {
		if recover() != nil {
			text, ok = "", false
		}
	}()
	families := map[gobgp.RouteFamily]gobgp.BGPAddPathMode{gobgp.RF_IPv4_UC: 0, gobgp.RF_IPv6_UC: 0}
	if o.AddPath != 0 {
		families[gobgp.RF_IPv4_UC], families[gobgp.RF_IPv6_UC] = gobgp.BGP_ADD_PATH_BOTH, gobgp.BGP_ADD_PATH_BOTH
	}
	header := &gobgp.BGPHeader{Len: uint16(HeaderLen + len(body)), Type: gobgp.BGP_MSG_UPDATE}
	m, err := gobgp.ParseBGPBody(header, bytes.Clone(body), &gobgp.MarshallingOption{AddPath: families})
	if err != nil {
		return "", false
	}
	u := m.Body.(*gobgp.BGPUpdate)
	if _, err := gobgp.ValidateUpdateMsg(u, families, o.External, false, true); err != nil {
		return "", false
	}
	return theirs(u, o.AddPath != 0), true
}

// theirs is GoBGP's reading of an UPDATE as text.
func theirs(u *gobgp.BGPUpdate, ids bool) string {
	var lines []string
	run := func(what string, list []gobgp.AddrPrefixInterface) {
		for _, n := range list {
			p := netip.MustParsePrefix(n.String()).Masked()
			lines = append(lines, line(what, p, n.PathIdentifier(), ids))
		}
	}
	plain := func(list []*gobgp.IPAddrPrefix) (all []gobgp.AddrPrefixInterface) {
		for _, n := range list {
			all = append(all, n)
		}
		return all
	}
	var reach []gobgp.AddrPrefixInterface
	run("-", plain(u.WithdrawnRoutes))
	hops := map[string]string{}
	var attrs []string
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *gobgp.PathAttributeMpUnreachNLRI:
			run("-", a.Value)
		case *gobgp.PathAttributeMpReachNLRI:
			reach = a.Value
			hops["mp"] = hex.EncodeToString(a.Nexthop)
		case *gobgp.PathAttributeNextHop:
			hops["plain"] = hex.EncodeToString(a.Value)
		default:
			attrs = append(attrs, theirAttribute(a)...)
		}
	}
	slices.Sort(attrs)
	rest := strings.Join(attrs, " ")
	if len(u.NLRI) > 0 {
		run("+", plain(u.NLRI))
		lines = append(lines, "  via "+hops["plain"]+" "+rest)
	}
	if len(reach) > 0 {
		run("+", reach)
		lines = append(lines, "  via "+hops["mp"]+" "+rest)
	}
	return strings.Join(lines, "\n")
}

func theirAttribute(a gobgp.PathAttributeInterface) []string {
	switch a := a.(type) {
	case *gobgp.PathAttributeOrigin:
		return []string{fmt.Sprintf("origin=%d", a.Value)}
	case *gobgp.PathAttributeAsPath:
		text := ""
		for _, s := range a.Value {
			text += fmt.Sprintf("%d%v", s.GetType(), s.GetAS())
		}
		return []string{"path=" + text}
	case *gobgp.PathAttributeMultiExitDisc:
		return []string{fmt.Sprintf("med=%d", a.Value)}
	case *gobgp.PathAttributeLocalPref:
		return []string{fmt.Sprintf("pref=%d", a.Value)}
	case *gobgp.PathAttributeAtomicAggregate:
		return []string{"atomic"}
	case *gobgp.PathAttributeAggregator:
		return []string{fmt.Sprintf("aggregator=%d,%s", a.Value.AS, a.Value.Address)}
	case *gobgp.PathAttributeCommunities:
		return []string{fmt.Sprintf("communities=%v", a.Value)}
	case *gobgp.PathAttributeOriginatorId:
		return []string{"originator=" + a.Value.String()}
	case *gobgp.PathAttributeClusterList:
		return []string{fmt.Sprintf("clusters=%v", a.Value)}
	case *gobgp.PathAttributeLargeCommunities:
		var text []string
		for _, c := range a.Values {
			text = append(text, fmt.Sprintf("%d:%d:%d", c.ASN, c.LocalData1, c.LocalData2))
		}
		return []string{fmt.Sprintf("large=%v", text)}
	}
	return nil
}

// ours is our reading in the same words.
func ours(t *testing.T, u *Update) string {
	t.Helper()
	var lines []string
	run := func(what string, n NLRI) {
		for p, id := range n.All() {
			lines = append(lines, line(what, p, id, n.ids))
		}
	}
	for _, n := range u.Withdrawn {
		run("-", n)
	}
	for _, a := range u.Announced {
		attrs, err := ParseAttributes(a.Attributes)
		if err != nil {
			t.Fatal(err)
		}
		run("+", a.NLRI)
		lines = append(lines, "  via "+hex.EncodeToString(attrs.NextHop.Addr.AsSlice())+" "+ourAttributes(attrs))
	}
	return strings.Join(lines, "\n")
}

func ourAttributes(a Attributes) string {
	path := ""
	for _, s := range a.ASPath {
		path += fmt.Sprintf("%d%v", s.Type, s.AS)
	}
	words := []string{fmt.Sprintf("origin=%d", a.Origin), "path=" + path}
	add := func(has bool, format string, args ...any) {
		if has {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(a.HasMED, "med=%d", a.MED)
	add(a.HasLocalPref, "pref=%d", a.LocalPref)
	add(a.AtomicAggregate, "atomic")
	add(a.Aggregator.Addr.IsValid(), "aggregator=%d,%s", a.Aggregator.AS, a.Aggregator.Addr)
	add(len(a.Communities) > 0, "communities=%v", a.Communities)
	add(a.OriginatorID.IsValid(), "originator=%s", a.OriginatorID)
	add(len(a.ClusterList) > 0, "clusters=%v", a.ClusterList)
	var large []string
	for _, c := range a.Large { // GoBGP drops those that come twice
		if text := fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2); !slices.Contains(large, text) {
			large = append(large, text)
		}
	}
	add(len(large) > 0, "large=%v", large)
	slices.Sort(words)
	return strings.Join(words, " ")
}

func line(what string, p netip.Prefix, id uint32, ids bool) string {
	if !ids {
		return what + " " + p.String()
	}
	return fmt.Sprintf("%s %s id %d", what, p, id)
}

// TestOracle shows that the comparison compares: what is good is accepted by
// both and reads the same.
func TestOracle(t *testing.T) {
	agreed := 0
	for _, f := range both.All() {
		a := full()
		a.NextHop, a.OnlyToCustomer, a.Unknown = sample(f).NextHop, 0, nil
		for _, o := range []Options{internal, {FourByteAS: true, Families: both, AddPath: both}} {
			b, err := AppendAnnouncements(nil, Form{AddPath: o.AddPath}, f, a.Append(nil), hosts(f, 20))
			if err != nil {
				t.Fatal(err)
			}
			var u Update
			v := u.Parse(b[HeaderLen:], o)
			want, ok := oracle(b[HeaderLen:], o)
			if got := ours(t, &u); v.Action != OK || !ok || got != want {
				t.Errorf("%s: %s, %t:\n%s\nGoBGP:\n%s", f, v, ok, got, want)
			} else {
				agreed++
			}
		}
	}
	if agreed != 4 {
		t.Errorf("%d agreed", agreed)
	}
}
