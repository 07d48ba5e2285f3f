package policybench

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// path is a way between two workloads, and what is on it.
type path struct {
	name     string
	host     *lab.Host // nil: nothing
	from, to *lab.Host
	address  netip.Addr // of to
}

// plainPath is one veth pair: what no host between could undercut.
func plainPath(l *lab.Lab) *path {
	p := &path{name: "plain veth", from: l.Host("p1"), to: l.Host("p2"), address: netip.MustParseAddr("10.65.0.2")}
	l.Link(p.from.Port("eth0", "10.65.0.1/24"), p.to.Port("eth0", "10.65.0.2/24"))
	return p
}

// routedPath is two workloads of the cluster on a host that routes between
// them.
func routedPath(l *lab.Lab, name string, n int, c *cluster) *path {
	h := l.Host(fmt.Sprintf("h%d", n))
	h.SetSysctl("net.ipv4.ip_forward", "1")
	h.AddAddr("lo", lab.GatewayIPv4+"/32")
	p := &path{name: name, host: h}
	for i, end := range []**lab.Host{&p.from, &p.to} {
		e := c.endpoint(c.endpoints/2 + i) // in the middle of the tree of prefixes
		address := e.Addresses[0]
		w := h.Workload(fmt.Sprintf("w%d-%d", n, i), e.Interface, address.String())
		h.SetSysctl("net/ipv4/conf/"+e.Interface+"/proxy_arp", "1")
		h.SetSysctl("net/ipv4/neigh/"+e.Interface+"/proxy_delay", "0")
		h.MustRun("ip", "route", "add", address.String()+"/32", "dev", e.Interface)
		*end, p.address = w.Host, address
	}
	return p
}

// feed runs a program in a host that reads its input.
func feed(t testing.TB, h *lab.Host, input string, argv ...string) {
	t.Helper()
	if err := fed(h, input, argv...); err != nil {
		t.Fatal(err)
	}
}

func fed(h *lab.Host, input string, argv ...string) error {
	var problems bytes.Buffer
	err := h.Do(func() error {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin, cmd.Stderr = strings.NewReader(input), &problems
		return cmd.Run()
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", strings.Join(argv, " "), err), errors.New(problems.String()))
	}
	return nil
}
