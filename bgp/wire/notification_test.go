package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/projectvrouter/vrouter/bgp"
)

func TestNotification(t *testing.T) {
	shutdown, err := NewShutdown(AdministrativeShutdown, "maintenance, bis später")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		n    *Notification
		text string
	}{
		{&Notification{Code: HoldTimerExpired}, "Hold Timer Expired"},
		{&Notification{Code: SendHoldExpired}, "Send Hold Timer Expired"},
		{&Notification{Code: OpenError, Subcode: BadPeerAS}, "OPEN Message Error: Bad Peer AS"},
		{&Notification{Code: Cease, Subcode: BFDDown}, "Cease: BFD Down"},
		{&Notification{Code: FSMError, Subcode: UnexpectedInOpenConfirm}, "Finite State Machine Error: unexpected message in OpenConfirm"},
		{&Notification{Code: 99, Subcode: 7}, "error code 99: subcode 7"},
		{&Notification{Code: UpdateError, Subcode: 7}, "UPDATE Message Error: subcode 7"},
		{shutdown, `Cease: Administrative Shutdown: "maintenance, bis später"`},
		{shutdown.Hard(), `Cease: Hard Reset: Cease: Administrative Shutdown: "maintenance, bis später"`},
		{shutdown.Hard().Hard(), "Cease: Hard Reset"},
	} {
		if got := c.n.Error(); got != c.text {
			t.Errorf("%q, want %q", got, c.text)
		}
		b := AppendNotification(nil, c.n)
		kind, length, err := CheckHeader(b, false)
		if err != nil || kind != TypeNotification || length != len(b) {
			t.Errorf("%s: %s of %d octets: %v", c.text, kind, length, err)
		}
		if got, err := ParseNotification(b[HeaderLen:]); err != nil || !reflect.DeepEqual(got, c.n) {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
	}
	var n *Notification
	if _, err := ParseNotification([]byte{6}); !errors.As(err, &n) || n.Subcode != BadMessageLength {
		t.Errorf("%v", err)
	}
	long := AppendNotification(nil, &Notification{Code: UpdateError, Data: make([]byte, 60000)})
	if len(long) != MaxMessage {
		t.Errorf("%d octets", len(long))
	}
}

func TestShutdownCommunication(t *testing.T) {
	for _, text := range []string{strings.Repeat("a", 256), "\xff"} {
		if _, err := NewShutdown(AdministrativeReset, text); err == nil {
			t.Errorf("%.9q was taken", text)
		}
	}
	if _, err := NewShutdown(PeerDeconfigured, ""); err == nil {
		t.Error("a subcode that carries none")
	}
	full, err := NewShutdown(AdministrativeReset, strings.Repeat("ä", 127)+"!")
	if err != nil {
		t.Fatal(err)
	}
	if said, err := full.Communication(); err != nil || len(said) != 255 {
		t.Errorf("%q, %v", said, err)
	}
	for _, c := range []struct {
		data []byte
		said string
		bad  bool
	}{
		{nil, "", false}, {[]byte{0}, "", false}, {[]byte{2, 'h', 'i'}, "hi", false}, {[]byte{2, 'h', 'i', 'x'}, "hi", false},
		{[]byte{3, 'h', 'i'}, "", true}, {[]byte{1, 0xff}, "", true},
	} {
		n := Notification{Code: Cease, Subcode: AdministrativeShutdown, Data: c.data}
		if said, err := n.Communication(); said != c.said || (err != nil) != c.bad {
			t.Errorf("%x: %q, %v", c.data, said, err)
		}
	}
}

func TestHeader(t *testing.T) {
	header := func(length int, kind byte) []byte {
		return append(bytes.Repeat([]byte{0xff}, 16), byte(length>>8), byte(length), kind)
	}
	unsynchronized := header(19, 4)
	unsynchronized[15] = 0xfe
	for _, c := range []struct {
		name     string
		b        []byte
		extended bool
		want     string // code/subcode and data
	}{
		{"keepalive", header(19, 4), false, ""},
		{"marker", unsynchronized, false, "1/1 "},
		{"length 0", header(0, 4), false, "1/2 0000"},
		{"length 18", header(18, 2), false, "1/2 0012"},
		{"keepalive of 20", header(20, 4), false, "1/2 0014"},
		{"open of 28", header(28, 1), false, "1/2 001c"},
		{"open of 29", header(29, 1), false, ""},
		{"open of 4097", header(4097, 1), true, "1/2 1001"},
		{"update of 22", header(22, 2), false, "1/2 0016"},
		{"update of 4096", header(4096, 2), false, ""},
		{"update of 4097", header(4097, 2), false, "1/2 1001"},
		{"update of 4097, extended", header(4097, 2), true, ""},
		{"update of 65535, extended", header(65535, 2), true, ""},
		{"notification of 20", header(20, 3), false, "1/2 0014"},
		{"refresh of 22", header(22, 5), false, "1/2 0016"},
		{"refresh of 23", header(23, 5), false, ""},
		{"type 0", header(19, 0), false, "1/3 00"},
		{"type 6", header(19, 6), false, "1/3 06"},
		{"type 255 and too long", header(5000, 255), false, "1/2 1388"},
	} {
		kind, length, err := CheckHeader(c.b, c.extended)
		var n *Notification
		switch {
		case c.want == "" && (err != nil || int(kind) != int(c.b[18]) || length != int(c.b[16])<<8|int(c.b[17])):
			t.Errorf("%s: %s, %d, %v", c.name, kind, length, err)
		case c.want != "" && (!errors.As(err, &n) || fmt.Sprintf("%d/%d %x", n.Code, n.Subcode, n.Data) != c.want):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestReader(t *testing.T) {
	stream := AppendKeepalive(nil)
	stream = append(stream, message(t, bgp.IPv4Unicast, 700)...)
	stream = append(stream, AppendNotification(nil, &Notification{Code: Cease})...)
	large := message(t, bgp.IPv4Unicast, 10000)
	want := []MessageType{TypeKeepalive, TypeUpdate, TypeNotification, TypeUpdate, TypeKeepalive}
	stream = append(append(stream, large...), AppendKeepalive(nil)...)
	for name, in := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "octets": iotest.OneByteReader(bytes.NewReader(stream)),
		"halves": iotest.HalfReader(bytes.NewReader(stream)), "with the end": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		r := NewReader(in, 0)
		r.AllowExtended()
		var got []MessageType
		for {
			m, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
			got = append(got, m.Type)
			if len(got) == 4 && !bytes.Equal(m.Body, large[HeaderLen:]) {
				t.Errorf("%s: the large message came otherwise", name)
			}
			if name == "whole" && len(got) == 1 && !r.Buffered() {
				t.Errorf("%s: nothing buffered", name)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if _, err := NewReader(bytes.NewReader(stream[:25]), 0).Next(); err != nil {
		t.Error(err)
	}
	for cut, want := range map[int]error{0: io.EOF, 1: io.ErrUnexpectedEOF, 18: io.ErrUnexpectedEOF} {
		if _, err := NewReader(bytes.NewReader(stream[:cut]), 0).Next(); !errors.Is(err, want) {
			t.Errorf("after %d octets: %v", cut, err)
		}
	}
	r := NewReader(bytes.NewReader(large), 0)
	if _, err := r.Next(); !strings.Contains(err.Error(), "Bad Message Length") || !r.Buffered() {
		t.Errorf("extended although not allowed: %v", err)
	}
}

// stalling fails once in the middle of a message.
type stalling struct {
	in     io.Reader
	stalls int
}

var errStall = errors.New("i/o timeout")

func (s *stalling) Read(b []byte) (int, error) {
	if s.stalls++; s.stalls%2 == 0 {
		return 0, errStall
	}
	return s.in.Read(b[:1])
}

func TestReaderResumes(t *testing.T) {
	r := NewReader(&stalling{in: bytes.NewReader(AppendKeepalive(nil))}, 0)
	for range 100 {
		m, err := r.Next()
		if err == nil && m.Type == TypeKeepalive {
			return
		}
		if !errors.Is(err, errStall) {
			t.Fatal(err)
		}
	}
	t.Error("no message in a hundred tries")
}

func TestRouteRefresh(t *testing.T) {
	for _, m := range []RouteRefresh{{bgp.IPv4Unicast, RefreshRequest}, {bgp.IPv6Unicast, RefreshBegin}, {bgp.IPv6Unicast, RefreshEnd}} {
		b := AppendRouteRefresh(nil, m)
		if got, err := ParseRouteRefresh(b[HeaderLen:], true); err != nil || got != m {
			t.Errorf("%+v: %+v, %v", m, got, err)
		}
	}
	if m, err := ParseRouteRefresh([]byte{0, 1, 1, 1}, false); err != nil || m.Kind != RefreshRequest {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := ParseRouteRefresh([]byte{0, 25, 0, 70}, true); err != nil || m.Family != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := ParseRouteRefresh([]byte{0, 1, 0, 1, 1, 128, 0, 0}, true); err != nil { // route filters
		t.Error(err)
	}
	var n *Notification
	_, err := ParseRouteRefresh([]byte{0, 1, 1, 1, 9}, true)
	if !errors.As(err, &n) || n.Code != RouteRefreshError || n.Subcode != InvalidRefreshLength || len(n.Data) != 24 {
		t.Errorf("%v", err)
	}
}
