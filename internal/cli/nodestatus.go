package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// writeStatus prints a node's status, with the peers in Calico's tables.
func (a *app) writeStatus(s *vrouterv1.GetStatusResponse, wide bool) error {
	a.writeIdentity(s)
	if err := a.writeConditions(s, wide); err != nil {
		return err
	}
	for _, family := range []string{"IPv4", "IPv6"} {
		if err := a.writePeers(s.GetPeers(), family, wide); err != nil {
			return err
		}
	}
	if err := a.writeDetections(s.GetDetections(), wide); err != nil {
		return err
	}
	if len(s.GetProblems()) > 0 {
		a.line("")
		a.heading("Problems")
		for _, problem := range s.GetProblems() {
			a.painted("- "+problem, bad)
		}
	}
	return nil
}

// writeIdentity says which node this is, and how it is.
func (a *app) writeIdentity(s *vrouterv1.GetStatusResponse) {
	since := ""
	if s.GetStarted() != nil {
		since = fmt.Sprintf(" since %s (%s)", a.moment(s.GetStarted()), a.age(s.GetStarted()))
	}
	a.line("vrouterd %s is running on node %s as %s%s", s.GetVersion(), s.GetNode(), or(s.GetRole(), "agent"), since)
	as := "none"
	if s.GetAsNumber() != 0 {
		as = strconv.FormatUint(uint64(s.GetAsNumber()), 10)
	}
	a.line("AS %s, router ID %s, %d local endpoints, policy %s",
		as, or(s.GetRouterId(), "none"), s.GetLocalEndpoints(), or(s.GetPolicy(), "unknown"))
	a.line("cluster %s, store revision %d", or(s.GetClusterGuid(), "not known: the store was never reached"), s.GetStoreRevision())
	switch s.GetDrain() {
	case "":
	case "asked":
		a.painted("draining: peers were asked to use other paths", doubtful)
	default:
		a.painted("drained: "+s.GetDrain(), doubtful)
	}
}

// writeConditions says whether the node is ready, and if not, why.
func (a *app) writeConditions(s *vrouterv1.GetStatusResponse, wide bool) error {
	if s.GetReady() {
		a.painted("ready", good)
	} else {
		a.painted("not ready", bad)
	}
	// A condition that holds may carry a remark, such as that the store is away.
	telling := slices.ContainsFunc(s.GetConditions(), func(c *vrouterv1.Condition) bool { return !c.GetOk() || c.GetReason() != "" })
	if len(s.GetConditions()) == 0 || !wide && !telling {
		return nil
	}
	a.line("")
	t := a.newTable(wide, "CONDITION", "OK", flexible+"REASON")
	for _, c := range s.GetConditions() {
		ok := cell{"yes", good}
		if !c.GetOk() {
			ok = cell{"no", bad}
		}
		t.addCells(cell{text: c.GetName()}, ok, cell{text: c.GetReason()})
	}
	return t.flush(a.Out)
}

// writePeers prints the sessions of one family.
func (a *app) writePeers(peers []*vrouterv1.Peer, family string, wide bool) error {
	a.line("")
	a.heading(family + " BGP status")
	var mine []*vrouterv1.Peer
	for _, p := range peers {
		if p.GetFamily() == family {
			mine = append(mine, p)
		}
	}
	if len(mine) == 0 {
		a.line("No %s peers found.", family)
		return nil
	}
	names := []string{"PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", flexible + "INFO"}
	if wide {
		names = append(names, "AS", "NODE", "ROUTER ID", "UPTIME", "RECEIVED", "ACCEPTED", "ADVERTISED",
			"HOLD", "KEEPALIVE", "END-OF-RIB", "FAMILIES", "RESTART", "FILTERS", "ADD-PATH", "LAST ERROR", "CAPABILITIES")
	}
	t := a.newTable(wide, names...)
	for _, p := range mine {
		t.addCells(a.peerRow(p, wide)...)
	}
	return t.flush(a.Out)
}

// established is the one state in which a session carries routes
// (RFC 4271 §8.2.2).
const established = "Established"

func (a *app) peerRow(p *vrouterv1.Peer, wide bool) []cell {
	up := strings.EqualFold(p.GetState(), established)
	state := cell{"start", bad} // Calico's words, which are BIRD's
	info := p.GetState()
	if up {
		state = cell{"up", good}
	} else if p.GetLastError() != "" && !wide {
		info += ": " + p.GetLastError()
	}
	cells := []cell{
		{text: p.GetAddress()}, {text: p.GetType()}, state, {text: a.moment(p.GetSince())}, {text: info},
	}
	if !wide {
		return cells
	}
	uptime := ""
	if up {
		uptime = a.age(p.GetSince())
	}
	return append(cells, textCells([]string{
		strconv.FormatUint(uint64(p.GetAsNumber()), 10), p.GetNode(), p.GetRouterId(), uptime,
		strconv.FormatInt(p.GetPrefixesReceived(), 10), strconv.FormatInt(p.GetPrefixesAccepted(), 10),
		strconv.FormatInt(p.GetPrefixesAdvertised(), 10),
		seconds(p.GetHoldTime()), seconds(p.GetKeepaliveTime()), yesNo(p.GetEndOfRib()),
		familiesText(p), restartText(p), strings.Join(p.GetOptions().GetFilters(), ","), addPathText(p.GetOptions()),
		p.GetLastError(), strings.Join(p.GetCapabilities(), ","),
	})...)
}

// heading prints a line that titles what follows.
func (a *app) heading(text string) { a.painted(text, heading) }

// painted prints a line in a tone.
func (a *app) painted(text string, t tone) {
	a.progress.clear()
	fmt.Fprintln(a.Out, a.outPaint(printable(text), t))
}

// moment renders a time as Calico does: the time of day, or the date when it
// was not today.
func (a *app) moment(at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	now := a.Now()
	then := at.AsTime().In(now.Location())
	if then.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return then.Format(time.TimeOnly)
	}
	return then.Format(time.DateOnly)
}

// age renders the time since at by its two largest units, as kubectl does.
func (a *app) age(at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	d := max(a.Now().Sub(at.AsTime()), 0)
	s := int64(d / time.Second)
	switch minute, hour, day := int64(60), int64(3600), int64(86400); {
	case s < minute:
		return fmt.Sprintf("%ds", s)
	case s < hour:
		return fmt.Sprintf("%dm%ds", s/minute, s%minute)
	case s < day:
		return fmt.Sprintf("%dh%dm", s/hour, s%hour/minute)
	default:
		return fmt.Sprintf("%dd%dh", s/day, s%day/hour)
	}
}

// seconds renders a timer as its standard states it.
func seconds(d *durationpb.Duration) string {
	if d == nil {
		return ""
	}
	return strconv.FormatFloat(d.AsDuration().Seconds(), 'f', -1, 64) + "s"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// or returns the first text that is not empty.
func or(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
