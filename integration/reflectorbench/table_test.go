package reflectorbench

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"
)

// reflected is routes of an IPv4 client as a right reflector passes them on.
func reflected(p Plan, owner, from, n int) []byte {
	return withAttributes(p.appendUpdate(nil, owner, from, n, noMED),
		originator(owner), []byte{flagOptional, attrClusterList, 4, 192, 168, 255, 1})
}

func originator(owner int) []byte {
	return binary.BigEndian.AppendUint32([]byte{flagOptional, attrOriginatorID, 4}, firstRouterID+uint32(owner))
}

// withAttributes adds path attributes to an UPDATE.
func withAttributes(message []byte, attributes ...[]byte) []byte {
	more := slices.Concat(attributes...)
	const at = headerLen + 2 // no routes are withdrawn
	size := binary.BigEndian.Uint16(message[at:])
	message = slices.Insert(message, at+2+int(size), more...)
	binary.BigEndian.PutUint16(message[at:], size+uint16(len(more)))
	return endMessage(message, 0)
}

func (t *table) mustTake(tb testing.TB, message []byte) {
	tb.Helper()
	if err := t.take(message[headerLen:], time.Time{}); err != nil {
		tb.Fatal(err)
	}
}

func TestVerifyFindsEachRoute(t *testing.T) {
	p := Plan{Clients: 7, Routes: 21} // owners begin and end within words
	full := func(self int) *table {
		held := newTable(p, self, 0, false)
		for owner := range p.Clients {
			if owner != self {
				held.mustTake(t, reflected(p, owner, 0, p.Routes))
			}
		}
		return held
	}
	for self := range p.Clients + 1 {
		held := full(self)
		if err := held.verify(nobody); err != nil || held.present != held.wanted(nobody) {
			t.Fatalf("%d routes, want %d: %v", held.present, held.wanted(nobody), err)
		}
		for index := range p.total() {
			held.held[index/64] ^= 1 << (index % 64)
			if err := held.verify(nobody); err == nil || !strings.Contains(err.Error(), p.prefix(index).String()) {
				t.Fatalf("client %d: route %s is wrong: %v", self, p.prefix(index), err)
			}
			held.held[index/64] ^= 1 << (index % 64)
		}
	}
	const dead = 4
	held := full(1)
	if held.verify(dead) == nil {
		t.Error("the routes of a dead client are not missed")
	}
	held.mustTake(t, appendWithdrawal(nil, false, p.appendNLRI(nil, dead, 0, p.Routes)))
	if err := held.verify(dead); err != nil || held.present != held.wanted(dead) {
		t.Errorf("%d routes, want %d: %v", held.present, held.wanted(dead), err)
	}
}

func TestTableRefuses(t *testing.T) {
	p := Plan{Clients: 5, Routes: 20}
	plain := func() []byte { return p.appendUpdate(nil, 1, 0, 1, noMED) }
	cluster := func(ids ...byte) []byte {
		return append([]byte{flagOptional, attrClusterList, byte(len(ids))}, ids...)
	}
	change := func(at int, b byte) []byte {
		m := reflected(p, 1, 0, 1)
		m[at] = b
		return m
	}
	const origin, nextHop, pref, routeLen = headerLen + 7, headerLen + 14, headerLen + 21, headerLen + 39
	foreign := reflected(p, 1, 0, 1)
	copy(foreign[len(foreign)-4:], []byte{10, 0, 0, 45}) // of client 2
	tests := map[string]struct {
		message []byte
		want    string
	}{
		"no originator":       {withAttributes(plain(), cluster(192, 168, 255, 1)), "ORIGINATOR_ID is "},
		"wrong originator":    {withAttributes(plain(), originator(2), cluster(192, 168, 255, 1)), "ORIGINATOR_ID is ac100102"},
		"no cluster list":     {withAttributes(plain(), originator(1)), "CLUSTER_LIST is "},
		"cluster twice":       {withAttributes(plain(), originator(1), cluster(192, 168, 255, 1, 192, 168, 255, 1)), "CLUSTER_LIST is c0a8ff01c0a8ff01"},
		"another cluster":     {withAttributes(plain(), originator(1), cluster(192, 168, 255, 2)), "CLUSTER_LIST is c0a8ff02"},
		"origin changed":      {change(origin, 2), "ORIGIN is 02"},
		"next hop of another": {change(nextHop+3, 2), "ORIGINATOR_ID is ac100101"},
		"next hop unknown":    {change(nextHop+3, 200), "which is no client"},
		"local-pref changed":  {change(pref+3, 200), "LOCAL_PREF is 000000c8"},
		"route of another":    {foreign, "route 10.0.0.45/32 with the next hop of client 1"},
		"unknown route":       {change(routeLen+1, 11), "which nobody announced"},
		"another length":      {change(routeLen, 31), "which nobody announced"},
	}
	for name, test := range tests {
		err := newTable(p, 0, 0, false).take(test.message[headerLen:], time.Time{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestOwnRoutesAreEchoes(t *testing.T) {
	p := Plan{Clients: 5, Routes: 20}
	held := newTable(p, 1, 0, false)
	held.mustTake(t, reflected(p, 1, 0, 3))
	if held.present != 0 || held.echoes != 3 {
		t.Errorf("%d routes, %d echoes", held.present, held.echoes)
	}
}

func TestVersions(t *testing.T) {
	p := Plan{Clients: 3, Routes: 4}
	held := newTable(p, 0, 7, true) // slots: routes 0, 1 of each client, and 2 of client 0
	for owner := 1; owner < p.Clients; owner++ {
		held.mustTake(t, p.announcement(owner, noMED))
	}
	held.count(5)
	held.mustTake(t, p.appendUpdate(nil, 1, 0, 1, 5))
	held.mustTake(t, p.appendUpdate(nil, 1, 0, 1, 5)) // once more changes nothing
	held.mustTake(t, p.appendUpdate(nil, 2, 1, 1, 5))
	held.mustTake(t, p.appendUpdate(nil, 2, 3, 1, 5)) // not followed
	if held.fresh != 2 {
		t.Errorf("%d slots are fresh, want 2", held.fresh)
	}
	want := []uint32{99, 5, noMED, 99, noMED, 5, 99} // 99: own
	if !held.current(want) {
		t.Errorf("slots %v, want %v", held.slots, want)
	}
	held.mustTake(t, p.appendUpdate(nil, 2, 1, 1, 6)) // a later one counts, too
	held.mustTake(t, p.appendUpdate(nil, 1, 0, 1, 4))
	if held.fresh != 1 || held.current(want) {
		t.Errorf("%d slots are fresh, want 1: %v", held.fresh, held.slots)
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	for name, p := range plans() {
		held := newTable(p, 0, 100, true)
		body := messages(t, p.announcement(1, 1))[0]
		now := time.Now()
		if n := testing.AllocsPerRun(10, func() { _ = held.take(body, now) }); n != 0 {
			t.Errorf("%s: %v allocations an update", name, n)
		}
	}
}

func TestFloorWithdrawsEachRouteOnce(t *testing.T) {
	for name, p := range plans() {
		t.Run(name, func(t *testing.T) {
			held := newTable(p, 0, 0, true)
			w := withdrawal{seen: make(map[string]bool)}
			for _, med := range []uint32{noMED, 1} {
				table := p.announcement(1, med)
				for _, body := range messages(t, table) {
					if err := held.take(body, time.Time{}); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.add(table); err != nil {
					t.Fatal(err)
				}
			}
			if list := messages(t, w.messages()); len(list) > 1+p.Routes/p.perMessage() {
				t.Errorf("%d updates", len(list))
			}
			for _, body := range messages(t, w.messages()) {
				if err := held.take(body, time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
			if held.present != 0 {
				t.Errorf("%d routes are left", held.present)
			}
		})
	}
}
