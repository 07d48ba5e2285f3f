package gobgp

import (
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A session that never came up has no connection, and must not be taken for
// one of the sockets that have no TCP addresses either: netlink's, the API's.
func TestShutdownLeavesOtherSockets(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b := os.NewFile(uintptr(pair[0]), "a"), os.NewFile(uintptr(pair[1]), "b")
	defer a.Close()
	defer b.Close()
	kernel, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(kernel)
	if err := unix.Bind(kernel, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}

	s := &Speaker{sessions: map[netip.Addr]*session{netip.MustParseAddr("192.0.2.1"): {}}}
	if err := s.shutdownSockets(); err != nil {
		t.Error(err)
	}
	if _, err := a.WriteString("ping"); err != nil {
		t.Errorf("a socket of others was shut down: %v", err)
	}
	got := make([]byte, 4)
	if _, err := b.Read(got); err != nil {
		t.Errorf("a socket of others was shut down: %v", err)
	}
	if diff := cmp.Diff("ping", string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
