package cli

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// writeList prints messages as a list.
func writeList[M proto.Message](a *app, f format, list []M) error {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, m := range list {
		data, err := messageJSON(m)
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(data)
	}
	b.WriteByte(']')
	return a.writeTree(f, b.Bytes())
}

// writeReflector prints the state of a speaker in short.
func (a *app) writeReflector(m *vrouterv1.GetReflectorResponse) error {
	a.line("node %s, %s, AS %d, router ID %s, cluster ID %s, up %s", m.GetNode(), or(m.GetRole(), "agent"), m.GetAsNumber(),
		or(m.GetRouterId(), "none"), or(m.GetClusterId(), "none: it does not reflect"), or(a.age(m.GetStarted()), "for an unknown time"))
	a.line("%d of %d sessions established, %d with clients", m.GetEstablished(), m.GetPeers(), m.GetClients())
	t := m.GetTable()
	a.line("%d prefixes, %d paths in %d sets of attributes, %d prefixes of its own, %s of memory",
		t.GetRoutes(), t.GetPaths(), t.GetAttributeSets(), t.GetOwn(), size(t.GetOctets()))
	a.line("")
	if err := a.writeGroups(m.GetGroups(), false); err != nil {
		return err
	}
	if len(m.GetStations()) == 0 {
		return nil
	}
	a.line("")
	stations := a.newTable(false, "STATION", "STATE", "SINCE", "MESSAGES", "SENT", "CONNECTIONS", flexible+"LAST ERROR")
	for _, s := range m.GetStations() {
		state := cell{"down", bad}
		if s.GetConnected() {
			state = cell{"up", good}
		}
		stations.addCells(append([]cell{{text: s.GetAddress()}, state}, textCells([]string{
			a.moment(s.GetSince()), count(s.GetMessages()), size(s.GetOctets()), count(s.GetConnections()), s.GetLastError(),
		})...)...)
	}
	return stations.flush(a.Out)
}

// writePlacements prints the groups of reflectors, if there are any.
func (a *app) writePlacements(placements []*vrouterv1.ReflectorPlacement) error {
	if len(placements) == 0 {
		return nil
	}
	t := a.newTable(false, "REFLECTOR GROUP", flexible+"REFLECTORS", "HOSTS", "THIS NODE")
	for _, p := range placements {
		role := ""
		switch {
		case p.GetMember():
			role = "reflects"
		case p.GetHost():
			role = "is a host"
		}
		t.add(p.GetGroup(), strings.Join(p.GetMembers(), ","), count(p.GetHosts()), role)
	}
	if err := t.flush(a.Out); err != nil {
		return err
	}
	a.line("")
	return nil
}

// writeGroups prints update groups; wide: with their members.
func (a *app) writeGroups(groups []*vrouterv1.UpdateGroup, wide bool) error {
	if len(groups) == 0 {
		a.line("No update groups: no session is established.")
		return nil
	}
	names := []string{"GROUP", "FAMILY", "KIND", "MEMBERS", "WALKING", "LAG", "ROUTES", "UPDATES", "SENT", "LOG", "STATE"}
	if wide {
		names = append(names, "NEXT HOP", "CLUSTER", "WALKS", "PEER", "PEER ADDRESS", "PEER STATE", "PEER LAG")
	}
	t := a.newTable(wide, names...)
	for _, g := range groups {
		walking, lag := 0, int64(0)
		for _, m := range g.GetMembers() {
			lag = max(lag, m.GetLagOctets())
			if m.GetWalking() {
				walking++
			}
		}
		row := []string{
			count(g.GetId()), g.GetFamily(), g.GetKind(), count(len(g.GetMembers())), count(walking), size(lag),
			count(g.GetRoutes()), count(g.GetMessages()), size(g.GetOctets()), size(g.GetLogOctets()), size(g.GetStateOctets()),
		}
		if !wide {
			t.add(row...)
			continue
		}
		row = append(row, g.GetNextHop(), g.GetClusterId(), count(g.GetWalks()))
		for i, m := range g.GetMembers() {
			if i > 0 {
				row = make([]string, len(row))
			}
			t.add(append(slices.Clone(row), m.GetPeer(), m.GetAddress(), memberState(m), size(m.GetLagOctets()))...)
		}
	}
	return t.flush(a.Out)
}

func memberState(m *vrouterv1.GroupMember) string {
	switch {
	case m.GetWaiting():
		return "waits for our restart"
	case m.GetWalking():
		return fmt.Sprintf("walking, %d done", m.GetWalked())
	case m.GetLagEntries() > 0:
		return fmt.Sprintf("%d behind", m.GetLagEntries())
	}
	return "level"
}

func peerColumns(wide bool) []string {
	names := []string{"PEER", "ADDRESS", "AS", "STATE", "SINCE", "RECEIVED", "ACCEPTED", "ADVERTISED", flexible + "INFO"}
	if wide {
		names = append(names, "CLIENT", "FAMILIES", "RESTART", "REFUSED", "UPDATES IN/OUT", "BYTES IN/OUT", "MALFORMED",
			"LAG", "WALKS", "TIMES UP", "FILTERS", "ADD-PATH")
	}
	return names
}

func (a *app) peerCells(p *vrouterv1.Peer, wide bool) []cell {
	state := cell{p.GetState(), bad}
	info := p.GetLastError()
	if strings.EqualFold(p.GetState(), established) {
		state.tone, info = good, ""
		if !p.GetEndOfRib() {
			info = "no End-of-RIB yet"
		}
	}
	cells := []cell{
		{text: p.GetName()}, {text: p.GetAddress()}, {text: count(p.GetAsNumber())}, state, {text: a.moment(p.GetSince())},
		{text: count(p.GetPrefixesReceived())}, {text: count(p.GetPrefixesAccepted())}, {text: count(p.GetPrefixesAdvertised())},
		{text: info},
	}
	if !wide {
		return cells
	}
	s := p.GetStatistics()
	lag := int64(0)
	for _, m := range s.GetMembers() {
		lag += m.GetLagOctets()
	}
	return append(cells, textCells([]string{
		yesNo(p.GetReflectorClient()), familiesText(p), restartText(p), refusedText(s.GetRefused()),
		count(s.GetIn().GetUpdates()) + "/" + count(s.GetOut().GetUpdates()),
		size(s.GetIn().GetOctets()) + "/" + size(s.GetOut().GetOctets()), malformedText(s), size(lag), count(s.GetWalks()),
		count(p.GetEstablished()), strings.Join(p.GetOptions().GetFilters(), ","), addPathText(p.GetOptions()),
	})...)
}

// familiesText is each family with its prefixes received, accepted, advertised.
func familiesText(p *vrouterv1.Peer) string {
	var list []string
	for _, f := range p.GetFamilies() {
		text := fmt.Sprintf("%s:%d/%d/%d", f.GetFamily(), f.GetReceived(), f.GetAccepted(), f.GetAdvertised())
		if !f.GetUp() {
			text = f.GetFamily() + ":down"
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

// restartText is for how long the peer's routes are kept without a session.
func restartText(p *vrouterv1.Peer) string {
	r := p.GetRestart()
	if !r.GetNegotiated() {
		return "no"
	}
	text := seconds(r.GetRestartTime())
	if d := p.GetOptions().GetLongLivedTime(); d.AsDuration() > 0 {
		text += "+" + seconds(d)
	}
	if r.GetStale() > 0 {
		text += fmt.Sprintf(" (%d stale)", r.GetStale())
	}
	return text
}

func refusedText(refused map[string]int64) string {
	var list []string
	for _, why := range slices.Sorted(maps.Keys(refused)) {
		list = append(list, fmt.Sprintf("%d %s", refused[why], why))
	}
	return strings.Join(list, "; ")
}

func malformedText(s *vrouterv1.PeerStatistics) string {
	var list []string
	for _, m := range []struct {
		n    int64
		what string
	}{
		{s.GetTreatedAsWithdraw(), "withdrawn"}, {s.GetAttributesDiscarded(), "discarded"}, {s.GetSessionResets(), "reset"},
	} {
		if m.n > 0 {
			list = append(list, fmt.Sprintf("%d %s", m.n, m.what))
		}
	}
	return or(strings.Join(list, ", "), "none")
}

func addPathText(o *vrouterv1.PeerOptions) string {
	var list []string
	switch n := o.GetAddPathSend(); {
	case n < 0:
		list = append(list, "send all")
	case n > 1:
		list = append(list, fmt.Sprintf("send %d", n))
	}
	if o.GetAddPathReceive() {
		list = append(list, "receive")
	}
	return strings.Join(list, ", ")
}

func ribColumns(wide bool) []string {
	names := []string{"PREFIX", "PATH", "PEER", "LOCAL PREF", "AS PATH", flexible + "WHY NOT"}
	if wide {
		names = append(names, "ADDRESS", "ORIGIN", "MED", "COMMUNITIES", "ORIGINATOR", "CLUSTERS", "PATH ID")
	}
	return names
}

// ribRows is a row for each path of a prefix, and one for our own.
func ribRows(r *vrouterv1.Route, wide bool) [][]cell {
	var rows [][]cell
	prefix := func() cell {
		if len(rows) > 0 {
			return cell{}
		}
		return cell{text: r.GetPrefix()}
	}
	if r.GetOriginated() {
		mark := "* ours"
		if !r.GetAdvertised() {
			mark = "  ours"
		}
		rows = append(rows, []cell{prefix(), {text: mark}, {}, {}, {}, {r.GetReason(), bad}})
	}
	for _, p := range r.GetPaths() {
		text, tone := "  "+p.GetNextHop(), doubtful
		if p.GetBest() {
			text, tone = "* "+p.GetNextHop(), good
		}
		if p.GetLongLived() {
			text += " (long-lived stale)"
		} else if p.GetStale() {
			text += " (stale)"
		}
		row := []cell{
			prefix(), {text, tone}, {text: or(p.GetPeerName(), p.GetPeer())}, {text: count(p.GetLocalPref())},
			{text: asPathText(p.GetAsPath())}, {p.GetRefused(), bad},
		}
		if wide {
			row = append(row, textCells([]string{
				p.GetPeer(), p.GetOrigin(), count(p.GetMed()), strings.Join(p.GetCommunities(), " "), p.GetOriginatorId(),
				strings.Join(p.GetClusterList(), " "), count(p.GetPathId()),
			})...)
		}
		rows = append(rows, row)
	}
	return rows
}

func asPathText(path []uint32) string {
	var as []string
	for _, n := range path {
		as = append(as, strconv.FormatUint(uint64(n), 10))
	}
	return strings.Join(as, " ")
}

// count renders a number of things.
func count[N int | int32 | int64 | uint32](n N) string { return strconv.FormatInt(int64(n), 10) }

// size renders a number of octets in the units of memory.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 || value >= 100 {
		return fmt.Sprintf("%.0f %s", value, units[unit])
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
