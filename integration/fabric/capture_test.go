package fabric

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestCaptureFindsFaults sends a good and a bad UPDATE past a capture.
func TestCaptureFindsFaults(t *testing.T) {
	testenv.Need(t, "root", "program:ip", "program:tshark")
	l := lab.New(t, "capture")
	a, b := l.Host("a"), l.Host("b")
	l.Link(a.Port("eth0", "10.0.0.1/24"), b.Port("eth0", "10.0.0.2/24"))
	c := NewCapture(t, b)

	listener, err := b.Listen(t.Context(), "tcp", "10.0.0.2:179")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := a.DialContext(t.Context(), "tcp", "10.0.0.2:179")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()

	marker := slices.Repeat([]byte{0xff}, 16)
	good := append(slices.Clone(marker), 0, 23, 2, 0, 0, 0, 0)                    // End-of-RIB
	bad := append(slices.Clone(marker), 0, 28, 2, 0, 0, 0, 5, 0x40, 3, 40, 10, 0) // NEXT_HOP of 40 octets, cut short
	for _, m := range [][]byte{good, good, bad} {
		if _, err := conn.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, len(good)*2+len(bad))
	for n := 0; n < len(buf); {
		more, err := accepted.Read(buf[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += more
	}
	c.Stop()
	from, to := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	if n, err := c.Messages(t.Context(), 2, from, to); err != nil || n != 3 {
		t.Errorf("%d UPDATEs (%v), 3 were sent", n, err)
	}
	if faults, err := c.Faults(t.Context(), from); err != nil || len(faults) == 0 {
		t.Errorf("faults %q, error %v: the bad UPDATE was not noticed", faults, err)
	}
	if faults, err := c.Faults(t.Context(), to); err != nil || len(faults) > 0 {
		t.Errorf("faults %q, error %v of who sent nothing", faults, err)
	}
}
