package reflectorbench

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// messages splits a stream into bodies of UPDATEs, and fails on anything else.
func messages(t testing.TB, stream []byte) [][]byte {
	t.Helper()
	var list [][]byte
	for len(stream) > 0 {
		kind, body, n, err := nextMessage(stream)
		if err != nil || n == 0 || kind != msgUpdate {
			t.Fatalf("message type %d of %d bytes, %v: %x", kind, n, err, stream)
		}
		list = append(list, body)
		stream = stream[n:]
	}
	return list
}

func plans() map[string]Plan {
	return map[string]Plan{
		"IPv4": {Clients: 5, Routes: 1000},
		"IPv6": {Clients: 5, Routes: 1000, IPv6: true},
	}
}

func TestTableIsPackedAndComesBack(t *testing.T) {
	for name, p := range plans() {
		t.Run(name, func(t *testing.T) {
			held := newTable(p, 0, 0, true)
			list := messages(t, p.announcement(3, 7))
			if want := 1 + (p.Routes-1)/p.perMessage(); len(list) != want {
				t.Errorf("%d updates, want %d", len(list), want)
			}
			for _, body := range list {
				if err := held.take(body, time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
			if held.present != p.Routes {
				t.Errorf("%d routes, want %d", held.present, p.Routes)
			}
			for index := range p.total() {
				has := held.held[index/64]>>(index%64)&1 == 1
				if want := index/p.Routes == 3; has != want {
					t.Fatalf("route %s: held %t, want %t", p.prefix(index), has, want)
				}
			}
		})
	}
}

func TestSetMED(t *testing.T) {
	for name, p := range plans() {
		t.Run(name, func(t *testing.T) {
			var stream []byte
			for i := range 3 {
				stream = p.appendUpdate(stream, 2, i, 1, 1)
			}
			p.setMED(stream, 0x01020304, 5)
			var u update
			for i, body := range messages(t, stream) {
				if err := u.parse(body); err != nil || binary.BigEndian.Uint32(u.med) != 0x01020304+5*uint32(i) {
					t.Errorf("update %d: MED %x, %v", i, u.med, err)
				}
			}
		})
	}
}

func TestEndOfRIBChangesNothing(t *testing.T) {
	for name, p := range plans() {
		t.Run(name, func(t *testing.T) {
			held := newTable(p, 0, 0, false)
			for _, body := range messages(t, p.appendEndOfRIB(nil)) {
				if err := held.take(body, time.Time{}); err != nil || held.present != 0 {
					t.Errorf("%d routes, %v", held.present, err)
				}
			}
		})
	}
}

func TestOpen(t *testing.T) {
	kind, body, n, err := nextMessage(openMessage(clusterID, 240, false))
	if err != nil || kind != msgOpen || n == 0 {
		t.Fatalf("type %d, %d bytes, %v", kind, n, err)
	}
	if hold, err := openHold(body); err != nil || hold != 240 {
		t.Errorf("hold time %d, %v", hold, err)
	}
	if _, err := openHold(body[:9]); err == nil {
		t.Error("an open that is cut short is accepted")
	}
}

func TestMessageBounds(t *testing.T) {
	good := appendKeepalive(nil)
	for cut := range len(good) {
		if _, _, n, err := nextMessage(good[:cut]); n != 0 || err != nil {
			t.Errorf("%d bytes of a keepalive: %d, %v", cut, n, err)
		}
	}
	marker := appendKeepalive(nil)
	marker[15] = 0
	short, long := appendKeepalive(nil), appendKeepalive(nil)
	short[17] = headerLen - 1
	long[16] = 0xff
	for _, c := range []struct {
		message []byte
		want    error
	}{{marker, errMarker}, {short, errLength}, {long, errLength}} {
		if _, _, _, err := nextMessage(c.message); !errors.Is(err, c.want) {
			t.Errorf("%x: %v, want %v", c.message, err, c.want)
		}
	}
}

// FuzzUpdate feeds the parser, the table and the floor's withdrawals: whatever
// a target sends costs at most its session.
func FuzzUpdate(f *testing.F) {
	for _, p := range plans() {
		f.Add(p.appendUpdate(nil, 1, 0, 3, 9)[headerLen:])
		f.Add(p.appendEndOfRIB(nil)[headerLen:])
		f.Add(appendWithdrawal(nil, p.IPv6, p.appendNLRI(nil, 1, 0, 2))[headerLen:])
	}
	f.Add(reflected(Plan{Clients: 5, Routes: 1000}, 1, 0, 2)[headerLen:])
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, p := range plans() {
			held := newTable(p, 0, 10, false)
			_ = held.take(body, time.Time{})
			if held.present < 0 || held.present > p.total() {
				t.Fatalf("%d routes of %d", held.present, p.total())
			}
			if held.verify(nobody) == nil {
				t.Fatal("one update is a whole table")
			}
		}
		if len(body) <= maxMessage-headerLen {
			w := withdrawal{seen: make(map[string]bool)}
			if w.add(endMessage(append(appendHeader(nil, msgUpdate), body...), 0)) == nil {
				messages(t, w.messages())
			}
		}
	})
}

// FuzzStream feeds bytes as they come from a socket, in two pieces.
func FuzzStream(f *testing.F) {
	p := Plan{Clients: 5, Routes: 20}
	f.Add(appendKeepalive(p.announcement(1, 1)), 30)
	f.Add(openMessage(clusterID, 90, true), 3)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		cut = min(max(cut, 0), len(stream))
		c := &client{plan: p, table: newTable(p, 0, 0, true), buf: make([]byte, readBuffer)}
		for _, piece := range [][]byte{stream[:cut], stream[cut:]} {
			if len(piece) > len(c.buf)-c.have {
				t.Skip("more than one read")
			}
			c.have += copy(c.buf[c.have:], piece)
			if c.takeAll() != nil {
				return
			}
		}
		if c.have >= maxMessage {
			t.Fatalf("%d bytes are left over", c.have)
		}
	})
}
