package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// The names of a session's slots, orders and causes in expectations.
var (
	slotNames  = [...]string{"dialled", "accepted", "current"}
	orderNames = [...]string{
		"dial", "abandon", "retry", "no retry", "serve", "hear", "refuse", "confirm", "establish", "shut",
	}
)

// text is what actions say, such as "shut current 5/3, retry".
func text(acts []action) string {
	var words []string
	for _, a := range acts {
		w := orderNames[a.order]
		switch a.order {
		case serve, hear, confirm, establish, shut:
			w += " " + slotNames[a.slot]
		}
		if a.notice != nil {
			w += fmt.Sprintf(" %d/%d", a.notice.Code, a.notice.Subcode)
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

// in is a machine, of id 10 and AS 64512, whose connections are in these
// states.
func in(out, inc, cur bgp.State) machine {
	m := machine{localID: 10, localAS: 64512, started: true}
	for s, state := range []bgp.State{out, inc, cur} {
		m.conns[s].state = state
	}
	return m
}

var allEvents = []struct {
	name  string
	event event
}{
	{"start", event{kind: start}},
	{"graceful stop", event{kind: stop}},
	{"stop", event{kind: stop, notice: &wire.Notification{Code: wire.Cease, Subcode: wire.AdministrativeShutdown}}},
	{"reset", event{kind: reset, notice: &wire.Notification{Code: wire.Cease, Subcode: wire.AdministrativeReset}}},
	{"retry expires", event{kind: retryExpired}},
	{"connected", event{kind: connected}},
	{"dial fails", event{kind: dialFailed}},
	{"incoming", event{kind: incoming}},
	{"OPEN", event{kind: openOK, open: openFacts{id: 5, as: 64512}}},
	{"KEEPALIVE", event{kind: keepalive}},
	{"UPDATE", event{kind: update}},
	{"ROUTE-REFRESH", event{kind: refresh}},
	{"NOTIFICATION", event{kind: notified, notice: &wire.Notification{Code: wire.Cease}}},
	{"bad header", event{kind: malformed, notice: &wire.Notification{Code: wire.HeaderError, Subcode: wire.BadMessageType}}},
	{"hold expires", event{kind: holdExpired}},
	{"send hold expires", event{kind: sendHoldExpired}},
	{"lost", event{kind: lost}},
}

// TestEveryEventInEveryState follows one dialled connection through RFC 4271
// §8.2.2. Of a state's events, those not listed leave everything as it is.
func TestEveryEventInEveryState(t *testing.T) {
	for _, state := range []struct {
		name string
		m    machine
		slot slot
		want map[string]string // event: state after it, and actions
	}{
		{"Idle", machine{}, dialled, map[string]string{
			"start": "Connect: dial", "incoming": "Idle: refuse",
		}},
		{"Connect", in(bgp.Connect, 0, 0), dialled, map[string]string{
			"graceful stop": "Idle: no retry, abandon", "stop": "Idle: no retry, abandon",
			"reset":     "Active: no retry, abandon, retry",
			"connected": "OpenSent: no retry, serve dialled", "dial fails": "Active: retry",
			"incoming": "OpenSent: serve accepted",
		}},
		{"Active", in(0, 0, 0), dialled, map[string]string{
			"graceful stop": "Idle: no retry", "stop": "Idle: no retry", "reset": "Active: no retry, retry",
			"retry expires": "Connect: dial", "incoming": "OpenSent: serve accepted",
		}},
		{"OpenSent", in(bgp.OpenSent, 0, 0), dialled, map[string]string{
			"graceful stop": "Idle: no retry, shut dialled", "stop": "Idle: no retry, shut dialled 6/2",
			"reset":     "Active: no retry, shut dialled 6/4, retry",
			"incoming":  "OpenSent: serve accepted",
			"OPEN":      "OpenConfirm: confirm dialled",
			"KEEPALIVE": "Active: shut dialled 5/1, retry", "UPDATE": "Active: shut dialled 5/1, retry",
			"ROUTE-REFRESH": "Active: shut dialled 5/1, retry", "NOTIFICATION": "Active: shut dialled, retry",
			"bad header": "Active: shut dialled 1/3, retry", "hold expires": "Active: shut dialled 4/0, retry",
			"send hold expires": "Active: shut dialled 8/0, retry", "lost": "Active: shut dialled, retry",
		}},
		{"OpenConfirm", in(bgp.OpenConfirm, 0, 0), dialled, map[string]string{
			"graceful stop": "Idle: no retry, shut dialled", "stop": "Idle: no retry, shut dialled 6/2",
			"reset":     "Active: no retry, shut dialled 6/4, retry",
			"incoming":  "OpenConfirm: hear accepted",
			"OPEN":      "Active: shut dialled 5/2, retry",
			"KEEPALIVE": "Established: no retry, establish dialled", "UPDATE": "Active: shut dialled 5/2, retry",
			"ROUTE-REFRESH": "Active: shut dialled 5/2, retry", "NOTIFICATION": "Active: shut dialled, retry",
			"bad header": "Active: shut dialled 1/3, retry", "hold expires": "Active: shut dialled 4/0, retry",
			"send hold expires": "Active: shut dialled 8/0, retry", "lost": "Active: shut dialled, retry",
		}},
		{"Established", in(0, 0, bgp.Established), current, map[string]string{
			"graceful stop": "Idle: no retry, shut current", "stop": "Idle: no retry, shut current 6/2",
			"reset":    "Active: no retry, shut current 6/4, retry",
			"incoming": "Established: hear accepted",
			"OPEN":     "Active: shut current 5/3, retry", "NOTIFICATION": "Active: shut current, retry",
			"bad header": "Active: shut current 1/3, retry", "hold expires": "Active: shut current 4/0, retry",
			"send hold expires": "Active: shut current 8/0, retry", "lost": "Active: shut current, retry",
		}},
	} {
		for _, e := range allEvents {
			e.event.slot = state.slot
			after, acts := state.m.step(e.event)
			want, listed := state.want[e.name]
			if !listed {
				want = state.name + ": "
			}
			if got := after.state().String() + ": " + text(acts); got != want {
				t.Errorf("%s in %s:\n got %s\nwant %s", e.name, state.name, got, want)
			}
		}
	}
}

func TestPassiveDoesNotDial(t *testing.T) {
	m := machine{passive: true}
	m, acts := m.step(event{kind: start})
	if m.state() != bgp.Active || len(acts) > 0 {
		t.Errorf("start: %s, %s", m.state(), text(acts))
	}
	if m, acts = m.step(event{kind: retryExpired}); m.state() != bgp.Active || len(acts) > 0 {
		t.Errorf("retry: %s, %s", m.state(), text(acts))
	}
}

// TestCollision: connections in these states, and an OPEN of a peer.
func TestCollision(t *testing.T) {
	graceful := in(0, bgp.OpenSent, bgp.Established)
	graceful.conns[current].restarts = true
	for _, c := range []struct {
		name string
		m    machine
		on   slot
		open openFacts
		want string
	}{
		{"we are higher, ours came", in(bgp.OpenSent, bgp.OpenConfirm, 0), dialled, openFacts{id: 5}, "shut accepted 6/7, confirm dialled"},
		{"we are higher, theirs came", in(bgp.OpenConfirm, bgp.OpenSent, 0), accepted, openFacts{id: 5}, "shut accepted 6/7"},
		{"we are lower, ours came", in(bgp.OpenSent, bgp.OpenConfirm, 0), dialled, openFacts{id: 15}, "shut dialled 6/7"},
		{"we are lower, theirs came", in(bgp.OpenConfirm, bgp.OpenSent, 0), accepted, openFacts{id: 15}, "shut dialled 6/7, confirm accepted"},
		{"we are higher, ours came first", in(bgp.OpenSent, bgp.OpenSent, 0), dialled, openFacts{id: 5}, "shut accepted 6/7, confirm dialled"},
		{"we are higher, theirs came first", in(bgp.OpenSent, bgp.OpenSent, 0), accepted, openFacts{id: 5}, "shut accepted 6/7"},
		{"we are lower, ours came first", in(bgp.OpenSent, bgp.OpenSent, 0), dialled, openFacts{id: 15}, "confirm dialled"},
		{"we are lower, theirs came first", in(bgp.OpenSent, bgp.OpenSent, 0), accepted, openFacts{id: 15}, "shut dialled 6/7, confirm accepted"},
		{"theirs came while we dial", in(bgp.Connect, bgp.OpenSent, 0), accepted, openFacts{id: 5}, "abandon, confirm accepted"},
		{"same id, our AS is higher", in(bgp.OpenSent, bgp.OpenConfirm, 0), dialled, openFacts{id: 10, as: 64511}, "shut accepted 6/7, confirm dialled"},
		{"same id, our AS is lower", in(bgp.OpenSent, bgp.OpenConfirm, 0), dialled, openFacts{id: 10, as: 64513}, "shut dialled 6/7"},
		{"established", in(0, bgp.OpenSent, bgp.Established), accepted, openFacts{id: 15}, "shut accepted 6/7"},
		{"established with graceful restart", graceful, accepted, openFacts{id: 5, restarts: true}, "shut current, confirm accepted"},
	} {
		after, acts := c.m.step(event{kind: openOK, slot: c.on, open: c.open})
		if got := text(acts); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if s := after.conns[c.on].state; (s == bgp.OpenConfirm) != strings.Contains(c.want, "confirm") {
			t.Errorf("%s: the connection is in %s", c.name, s)
		}
	}
	if _, acts := graceful.step(event{kind: openOK, slot: accepted, fresh: true}); text(acts) != "shut accepted 6/7" {
		t.Errorf("what is left of a collision: %s", text(acts))
	}
	if _, acts := in(bgp.OpenConfirm, bgp.OpenSent, 0).step(event{kind: keepalive, slot: dialled}); text(acts) != "shut accepted 6/7, no retry, establish dialled" {
		t.Errorf("established before the other has its OPEN: %s", text(acts))
	}
	if _, acts := in(0, bgp.OpenSent, 0).step(event{kind: incoming}); text(acts) != "shut accepted 6/7, serve accepted" {
		t.Errorf("the peer dials again: %s", text(acts))
	}
}

// TestStrikes: a peer that comes up and goes down again and again is refused
// for a while; one that goes down after a long time is not.
func TestStrikes(t *testing.T) {
	m := in(0, 0, 0)
	m.passive = true
	flap := func(end event) {
		m.conns[current].state = bgp.Established
		end.slot = current
		m, _ = m.step(end)
	}
	for range maxStrikes {
		flap(event{kind: lost})
	}
	if m.held {
		t.Fatalf("held after %d strikes", m.strikes)
	}
	flap(event{kind: notified, notice: &wire.Notification{Code: wire.UpdateError}})
	if m.state() != bgp.Idle || !m.held {
		t.Fatalf("%s, held %t", m.state(), m.held)
	}
	if _, acts := m.step(event{kind: incoming}); text(acts) != "refuse" {
		t.Errorf("while held: %s", text(acts))
	}
	m, _ = m.step(event{kind: retryExpired})
	if m.state() != bgp.Active {
		t.Errorf("after the wait: %s", m.state())
	}
	flap(event{kind: lost, stable: true})
	if m.held || m.strikes != 0 {
		t.Errorf("after a long session: held %t, %d strikes", m.held, m.strikes)
	}
}

// FuzzMachine goes at random and checks what must always hold.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 5, 8, 9, 7, 8, 9, 16, 4})
	f.Add([]byte{0, 7, 5, 8, 25, 9, 26})
	f.Fuzz(func(t *testing.T, walk []byte) {
		m := machine{localID: 10, localAS: 64512}
		open := [slots]bool{} // connections that were served and not shut
		for _, b := range walk {
			e := allEvents[int(b)%len(allEvents)].event
			e.slot = slot(int(b) / len(allEvents) % int(slots))
			e.open = openFacts{id: uint32(b >> 4), restarts: b&8 != 0}
			if e.kind == connected && m.conns[dialled].state != bgp.Connect {
				continue
			}
			var acts []action
			m, acts = m.step(e)
			for _, a := range acts {
				switch a.order {
				case serve, hear:
					if open[a.slot] {
						t.Fatalf("%v: %s is served twice", walk, slotNames[a.slot])
					}
					open[a.slot] = true
				case shut:
					if !open[a.slot] {
						t.Fatalf("%v: shut of %s, which there is not", walk, slotNames[a.slot])
					}
					open[a.slot] = false
				case confirm:
					if !open[a.slot] || a.slot != e.slot {
						t.Fatalf("%v: confirm of %s", walk, slotNames[a.slot])
					}
				case establish:
					if !open[a.slot] || open[current] || a.slot != e.slot {
						t.Fatalf("%v: establish of %s", walk, slotNames[a.slot])
					}
					open[a.slot], open[current] = false, true
				}
			}
			checkMachine(t, m, open, acts)
		}
	})
}

func checkMachine(t *testing.T, m machine, open [slots]bool, acts []action) {
	for s, c := range m.conns {
		if open[s] != (c.state >= bgp.OpenSent) {
			t.Fatalf("%s is in %s, there is a connection: %t", slotNames[s], c.state, open[s])
		}
	}
	if !m.started && m.alive() {
		t.Fatal("stopped and alive")
	}
	if m.conns[dialled].state == bgp.OpenConfirm && m.conns[accepted].state == bgp.OpenConfirm {
		t.Fatal("two connections confirmed")
	}
	// Whoever gives up its last connection must have a timer to begin anew.
	retries := slices.ContainsFunc(acts, func(a action) bool { return a.order == startRetry })
	ended := slices.ContainsFunc(acts, func(a action) bool { return a.order == shut || a.order == abandonDial })
	if m.started && ended && !m.alive() && !retries {
		t.Fatal("nothing left, and no retry")
	}
}
