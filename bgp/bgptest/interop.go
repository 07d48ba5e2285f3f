package bgptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// Hosts that the suites leave free.
const (
	interopN = 248
	productN = 249
)

// product is a router of somebody else's, and how to ask it.
type product struct {
	name    string
	program string
	asn     uint32
	config  string // with SPEAKER and ROUTER for the addresses
	args    func(dir string) []string
	show    func(dir string) []string // prints the routes learned over BGP
	find    func(program string) string
}

const birdConfig = `
router id ROUTER;
protocol device {}
protocol static { ipv4; route 10.9.0.1/32 blackhole; route 203.0.113.0/24 blackhole; }
protocol bgp speaker {
	local ROUTER as 64512;
	neighbor SPEAKER as 64512;
	strict bind on;
	connect delay time 1; connect retry time 1; error wait time 1, 2;
	graceful restart on;
	ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
`

const frrConfig = `
router bgp 4200000001
 bgp router-id ROUTER
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 neighbor SPEAKER remote-as 64512
 neighbor SPEAKER ebgp-multihop
 neighbor SPEAKER update-source ROUTER
 neighbor SPEAKER timers connect 1
 address-family ipv4 unicast
  network 10.9.0.1/32
  network 203.0.113.0/24
 exit-address-family
`

var products = []product{
	{
		name: "bird", program: "bird", asn: 64512, config: birdConfig,
		args: func(dir string) []string {
			return []string{"-f", "-c", dir + "/conf", "-s", dir + "/ctl", "-P", dir + "/pid"}
		},
		show: func(dir string) []string {
			return []string{"birdc", "-s", dir + "/ctl", "show", "route", "protocol", "speaker"}
		},
	}, {
		name: "frr", program: "bgpd", asn: 4200000001, config: frrConfig,
		args: func(dir string) []string {
			return []string{"-n", "-Z", "-S", "-f", dir + "/conf", "-i", dir + "/pid", "-l",
				Address(productN, bgp.IPv4Unicast).String(), "-P", "0", "--vty_socket", dir}
		},
		show: func(dir string) []string {
			return []string{"vtysh", "--vty_socket", dir, "-c", "show bgp ipv4 unicast neighbors " +
				Address(interopN, bgp.IPv4Unicast).String() + " routes"}
		},
	},
}

// RunInterop has a Speaker exchange paths with BIRD and with FRR, opens the
// session anew and restarts the Speaker without the router losing any. It can run beside Run. find returns
// the path of a program that needs root, or ends the test where there is none.
func RunInterop(t *testing.T, newSpeaker func(testing.TB) bgp.Speaker, find func(testing.TB, string) string) {
	for _, r := range products {
		t.Run(r.name, func(t *testing.T) {
			r.find = func(program string) string { return find(t, program) }
			r.test(t, newSpeaker)
		})
	}
}

func (r product) test(t *testing.T, newSpeaker func(testing.TB) bgp.Speaker) {
	dir := r.start(t)
	s := r.speaker(t, newSpeaker(t), nil)
	learned := make(map[netip.Prefix][]bgp.Path)
	Await(t, "the router's path", func() string {
		for _, set := range s.Drain() {
			learned[set.Prefix] = set.Paths
		}
		if len(learned) == 1 && len(learned[netip.MustParsePrefix("10.9.0.1/32")]) == 1 {
			return ""
		}
		return fmt.Sprint(learned, s.Peers())
	})
	if p := learned[netip.MustParsePrefix("10.9.0.1/32")][0]; p.NextHop != Address(productN, bgp.IPv4Unicast) {
		t.Errorf("next hop %s", p.NextHop)
	}
	Await(t, "our path at the router, and End-of-RIB", func() string {
		out := r.routes(dir)
		if p := s.Peers()[0]; !strings.Contains(out, "10.1.0.1/32") || p.EndOfRIB == 0 || p.Accepted != 1 {
			return fmt.Sprintf("%s\n%+v", out, p)
		}
		return ""
	})

	r.reopen(t, dir, s)
	Stop(t, s, true)
	s = r.speaker(t, newSpeaker(t), map[bgp.Family]bool{bgp.IPv4Unicast: true})
	Await(t, "the session again", func() string {
		out := r.routes(dir) // looked at all the while
		if !strings.Contains(out, "10.1.0.1/32") {
			t.Fatalf("the router dropped our path:\n%s", out)
		}
		if p := s.Peers()[0]; p.State != bgp.Established || p.EndOfRIB == 0 {
			return fmt.Sprintf("%+v", p)
		}
		return ""
	})
	if err := s.Withdraw(netip.MustParsePrefix("10.1.0.1/32")); err != nil {
		t.Fatal(err)
	}
	Await(t, "our path to go", func() string {
		if out := r.routes(dir); strings.Contains(out, "10.1.0.1/32") {
			return out
		}
		return ""
	})
}

// reopen gives the session another hold time: it is opened anew, and neither end
// drops the other's path.
func (r product) reopen(t *testing.T, dir string, s bgp.Speaker) {
	t.Helper()
	w := s.Peers()[0].Session
	w.Hold = 30 * time.Second
	if err := s.SetSessions([]bgp.Session{w}); err != nil {
		t.Fatal(err)
	}
	Await(t, "the session with another hold time", func() string {
		out := r.routes(dir) // looked at all the while
		if !strings.Contains(out, "10.1.0.1/32") {
			t.Fatalf("the router dropped our path:\n%s", out)
		}
		if sets := s.Drain(); len(sets) > 0 {
			t.Fatalf("the router's path moved: %+v", sets)
		}
		if p := s.Peers()[0]; p.State != bgp.Established || p.EndOfRIB == 0 || p.Hold != w.Hold || p.GracefulRestart.Stale > 0 {
			return fmt.Sprintf("%+v", p)
		}
		return ""
	})
}

// start runs the router and returns the directory of its files.
func (r product) start(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config := strings.NewReplacer(
		"SPEAKER", Address(interopN, bgp.IPv4Unicast).String(),
		"ROUTER", Address(productN, bgp.IPv4Unicast).String()).Replace(r.config)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := exec.Command(r.find(r.program), r.args(dir)...)
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", r.name, out.String())
		}
	})
	return dir
}

// routes is what the router has from us, as it says it.
func (r product) routes(dir string) string {
	args := r.show(dir)
	out, err := exec.Command(r.find(args[0]), args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return string(out)
}

func (r product) speaker(t *testing.T, s bgp.Speaker, restarting map[bgp.Family]bool) bgp.Speaker {
	t.Helper()
	self := Address(interopN, bgp.IPv4Unicast)
	Start(t, s, bgp.Settings{
		ASN: 64512, RouterID: self, ListenAddresses: []netip.Addr{self}, Restarting: restarting, Deferral: 5 * time.Second,
	})
	t.Cleanup(func() { Stop(t, s, false) })
	s.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}})
	if err := s.Originate(netip.MustParsePrefix("10.1.0.1/32"), bgp.Attributes{}); err != nil {
		t.Fatal(err)
	}
	err := s.SetSessions([]bgp.Session{{
		Name: r.name, Kind: bgp.Global, Multihop: 255,
		Local: self, LocalAS: 64512, Peer: Address(productN, bgp.IPv4Unicast), PeerAS: r.asn,
		ConnectRetry: time.Second,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Start starts a Speaker, perhaps at the address of one that has just stopped. A
// program that another test is about to run has a copy of each socket that was
// open when its process was made, until it runs: so long the address is in use.
func Start(t *testing.T, s bgp.Speaker, settings bgp.Settings) {
	t.Helper()
	Await(t, "an address that is free", func() string {
		err := s.Start(t.Context(), settings)
		if errors.Is(err, syscall.EADDRINUSE) {
			return err.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		return ""
	})
}

// Stop stops a Speaker within bounds.
func Stop(t *testing.T, s bgp.Speaker, graceful bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx, graceful); err != nil {
		t.Error(err)
	}
}

// Await waits until missing says nothing.
func Await(t *testing.T, what string, missing func() string) {
	t.Helper()
	end := time.NewTimer(90 * time.Second)
	defer end.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		last := missing()
		if last == "" {
			return
		}
		select {
		case <-end.C:
			t.Fatalf("waiting for %s, gave up: %s", what, last)
		case <-again.C:
		}
	}
}
