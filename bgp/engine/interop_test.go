package engine

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

const birdConfig = `
router id ROUTER;
protocol device {}
protocol static s4 { ipv4; route 10.9.0.1/32 blackhole; }
protocol static s6 { ipv6; route fd00::9/128 blackhole; }
protocol bgp speaker {
	local ROUTER as 64512;
	neighbor SPEAKER as 64512;
	password "interop";
	strict bind on;
	connect delay time 1; connect retry time 1; error wait time 1, 2;
	graceful restart on; graceful restart time 1;
	long lived graceful restart on; long lived stale time 3600;
	ipv4 { import all; export where source = RTS_STATIC; next hop self; };
	ipv6 { import all; export where source = RTS_STATIC; next hop address 2001:db8::f9; };
}
`

const frrConfig = `
router bgp 65001
 bgp router-id ROUTER
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart restart-time 1
 bgp long-lived-graceful-restart stale-time 3600
 neighbor SPEAKER remote-as 64512
 neighbor SPEAKER password interop
 neighbor SPEAKER ttl-security hops 1
 neighbor SPEAKER disable-connected-check
 neighbor SPEAKER local-role provider strict-mode
 neighbor SPEAKER update-source ROUTER
 neighbor SPEAKER timers connect 1
 address-family ipv4 unicast
  network 10.9.0.1/32
 exit-address-family
`

// TestBIRD: BIRD comes in from a range with a password, carries both families on
// one session, and both ends keep each other's routes as long-lived ones.
func TestBIRD(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "program:bird", "program:birdc")
	g := newGround(t, 19)
	start := func() {
		t.Helper()
		g.originate("10.1.0.1/32", "fd00::1/128")
		g.sessions(g.within(0, 24, both, reflected, func(s *bgp.Session) {
			s.Password, s.LongLived, s.RestartTime = "interop", time.Hour, time.Second
		}))
	}
	start()
	dir := t.TempDir()
	run := func() *exec.Cmd {
		return product(t, dir, g, 2, birdConfig, "bird", "-f", "-c", dir+"/conf", "-s", dir+"/ctl", "-P", dir+"/pid")
	}
	show := func() string {
		out, _ := exec.Command(testenv.Program("birdc"), "-s", dir+"/ctl", "show", "route", "all", "protocol", "speaker").CombinedOutput()
		return string(out)
	}
	one := func(prefix string, longLived bool) bool {
		e := g.paths(prefix)
		return len(e) == 1 && e[0].LongLived == longLived && e[0].Refused == ""
	}
	bird := run()
	wait(t, "its paths of both families", func() bool { return one("10.9.0.1/32", false) && one("fd00::9/128", false) })
	wait(t, "ours at the router", func() bool {
		out := show()
		return strings.Contains(out, "10.1.0.1/32") && strings.Contains(out, "fd00::1/128")
	})
	kill(bird)
	wait(t, "its paths as long-lived ones", func() bool { return one("10.9.0.1/32", true) && one("fd00::9/128", true) })
	run()
	wait(t, "its paths again", func() bool { return one("10.9.0.1/32", false) && one("fd00::9/128", false) })
	wait(t, "ours again", func() bool {
		out := show()
		return strings.Contains(out, "10.1.0.1/32") && strings.Contains(out, "fd00::1/128")
	})
	if err := g.Stop(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	wait(t, "ours as long-lived ones", func() bool {
		out := show()
		if !strings.Contains(out, "10.1.0.1/32") {
			t.Fatalf("the router dropped our path:\n%s", out)
		}
		return strings.Count(out, "llgr_stale") == 2 || strings.Count(out, "(65535,6)") == 2
	})
	g.start()
	start()
	wait(t, "ours as before", func() bool {
		out := show()
		return strings.Contains(out, "10.1.0.1/32") && !strings.Contains(out, "llgr_stale") && !strings.Contains(out, "(65535,6)")
	})
}

// TestFRR: with FRR as our provider, passwords, TTL security, roles, the limit
// of prefixes and long-lived paths hold.
func TestFRR(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "program:bgpd", "program:vtysh")
	// FRR takes no next hop from the loopback network.
	g, router := newGroundAt(t, bgptest.Address(236, bgp.IPv4Unicast)), 237
	g.originate("10.1.0.1/32")
	session := func(limit int) bgp.Session {
		return g.to(router, limited(bgp.MaxPrefix{Limit: limit}), func(s *bgp.Session) {
			s.PeerAS, s.Password, s.TTLSecurity, s.Role, s.StrictRole = 65001, "interop", 1, bgp.RoleCustomer, true
			s.LongLived, s.Passive = time.Hour, false
		})
	}
	g.sessions(session(2)) // it tells ours, too
	dir := t.TempDir()
	frr := product(t, dir, g, router, frrConfig, "bgpd", "-n", "-Z", "-S", "-f", dir+"/conf", "-i", dir+"/pid", "-l", g.router(router).String(),
		"-P", "0", "--vty_socket", dir)
	vtysh := func(commands ...string) string {
		args := []string{"--vty_socket", dir}
		for _, c := range commands {
			args = append(args, "-c", c)
		}
		out, _ := exec.Command(testenv.Program("vtysh"), args...).CombinedOutput()
		return string(out)
	}
	wait(t, "its path, for customers only", func() bool {
		e := g.paths("10.9.0.1/32")
		return len(e) == 1 && e[0].Refused == ""
	})
	g.mu.Lock()
	r := g.rib
	first := r.paths.records.at(r.routes.records.at(r.routes.find(keyOf(netip.MustParsePrefix("10.9.0.1/32")))).first)
	if otc := r.sets.sets[first.set].otc; otc != 65001 {
		t.Errorf("OTC %d of a provider", otc)
	}
	g.mu.Unlock()
	wait(t, "ours at the router", func() bool {
		return strings.Contains(vtysh("show bgp ipv4 unicast neighbors "+g.at.String()+" routes"), "10.1.0.1/32")
	})
	vtysh("conf t", "router bgp 65001", "address-family ipv4 unicast", "network 10.9.0.2/32", "network 10.9.0.3/32")
	wait(t, "the session over its limit to close", func() bool { return g.peer(router).State == bgp.Idle })
	wait(t, "the router to have been told", func() bool {
		return strings.Contains(vtysh("show bgp neighbors "+g.at.String()), "Maximum Number of Prefixes Reached")
	})
	g.sessions(session(10))
	wait(t, "all under the new limit", func() bool { return len(g.paths("10.9.0.3/32")) == 1 })
	kill(frr)
	wait(t, "its paths as long-lived ones", func() bool {
		e := g.paths("10.9.0.3/32")
		return len(e) == 1 && e[0].LongLived
	})
}

// product runs somebody else's router as router i of g.
func product(t *testing.T, dir string, g *ground, i int, config, program string, args ...string) *exec.Cmd {
	t.Helper()
	config = strings.NewReplacer("SPEAKER", g.at.String(), "ROUTER", g.router(i).String()).Replace(config)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := exec.Command(testenv.Program(program), args...)
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill(c)
		if t.Failed() {
			t.Logf("%s said:\n%s", program, out.String())
		}
	})
	return c
}

// kill ends a program without a word; twice does nothing.
func kill(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}
