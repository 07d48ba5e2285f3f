package reflectorbench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// Target is a route reflector that can be measured.
type Target struct {
	Name     string
	Programs []string // it needs
	Relaxed  bool     // it passes updates on as they came: no ORIGINATOR_ID, no CLUSTER_LIST
	// Start starts the reflector in a host that has its addresses, for the
	// clients of a plan and the late one. It need not wait for it to listen.
	// It returns the processes that are measured.
	Start func(t lab.T, h *lab.Host, p Plan) []*lab.Process
}

// Names of the targets that others are compared with.
const (
	nameBIRD  = "bird"
	nameFRR   = "frr"
	nameFloor = "floor"
)

// Targets are all that are known. Floor is the command line of a program that
// calls Floor with the address that is added to it.
func Targets(floor ...string) []Target {
	return []Target{
		{Name: "vrouter", Programs: []string{"ip"}, Start: startVrouter},
		{Name: nameBIRD, Programs: []string{"ip", "bird", "birdc"}, Start: startBIRD},
		{Name: nameFRR, Programs: []string{"ip", "bgpd"}, Start: startFRR},
		{Name: "gobgp", Programs: []string{"ip", "gobgpd"}, Start: startGoBGP},
		{Name: "openbgpd", Programs: []string{"ip", "bgpctl"}, Start: startOpenBGPD},
		{Name: nameFloor, Programs: []string{"ip"}, Relaxed: true, Start: floorStarter(floor)},
	}
}

// Select finds targets by name, in the order of names.
func Select(all []Target, names []string) ([]Target, error) {
	var chosen []Target
	for _, name := range names {
		i := slices.IndexFunc(all, func(t Target) bool { return t.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("target %q is not known", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// missing is the first program that this machine lacks, or empty.
func (t Target) missing() string {
	for _, p := range t.Programs {
		if testenv.Program(p) == "" {
			return p
		}
	}
	return ""
}

// startBIRD runs BIRD 2 with one dynamic neighbour range. It has no kernel
// protocol; the static route is there for the next hops to be reachable.
func startBIRD(_ lab.T, h *lab.Host, p Plan) []*lab.Process {
	family, clients, gateway := "ipv4", clientsIPv4, generatorIPv4
	if p.IPv6 {
		family, clients, gateway = "ipv6", clientsIPv6, generatorIPv6
	}
	return []*lab.Process{h.BIRD(fmt.Sprintf(`
log stderr { warning, error, fatal, bug };
router id %[1]s;
protocol device {}
protocol static nexthops { %[2]s; route %[3]s via %[4]s; }
protocol bgp clients {
	local %[5]s as %[6]d;
	neighbor range %[3]s as %[6]d;
	dynamic name "client";
	dynamic name digits 5;
	rr client;
	rr cluster id %[1]s;
	%[2]s { import all; export where source = RTS_BGP; import limit %[7]d action restart; };
}
`, targetIPv4, family, clients, gateway, p.target(), asNumber, p.limit())).Process}
}

// startFRR runs bgpd alone: without zebra it takes every next hop as reachable
// and programs no kernel route, as the others do.
func startFRR(_ lab.T, h *lab.Host, p Plan) []*lab.Process {
	family, clients := "ipv4", clientsIPv4
	if p.IPv6 {
		family, clients = "ipv6", clientsIPv6
	}
	const more = 10 // the spare clients, and sessions that end while others begin
	conf := h.Lab().File(filepath.Join(h.Name(), "bgpd.conf"), fmt.Sprintf(`
frr defaults traditional
router bgp %[1]d
 bgp router-id %[2]s
 bgp cluster-id %[2]s
 no bgp default ipv4-unicast
 neighbor clients peer-group
 neighbor clients remote-as %[1]d
 bgp listen limit %[3]d
 bgp listen range %[4]s peer-group clients
 address-family %[5]s unicast
  neighbor clients activate
  neighbor clients route-reflector-client
  neighbor clients maximum-prefix %[6]d
 exit-address-family
`, asNumber, targetIPv4, p.Clients+more, clients, family, p.limit()))
	argv := []string{
		testenv.Program("bgpd"), "-u", "root", "-g", "frrvty", "-n", "-Z", "-P", "0",
		"--vty_socket", h.Dir(), "-i", filepath.Join(h.Dir(), "bgpd.pid"), "-f", conf,
		"--log", "stdout", "--log-level", "critical", // without zebra, it logs an error for each next hop
	}
	return []*lab.Process{h.Start("bgpd", argv, lab.ProcessOptions{})}
}

// startOpenBGPD runs the daemon that stands beside bgpctl. As Debian builds it,
// it takes every next hop as reachable and knows no kernel route.
func startOpenBGPD(t lab.T, h *lab.Host, p Plan) []*lab.Process {
	t.Helper()
	family, clients := "IPv4", clientsIPv4
	if p.IPv6 {
		family, clients = "IPv6", clientsIPv6
	}
	conf := h.Lab().File(filepath.Join(h.Name(), "openbgpd.conf"), fmt.Sprintf(`
AS %[1]d
router-id %[2]s
listen on %[3]s
socket %[4]q
fib-update no
group "clients" {
	remote-as %[1]d
	neighbor %[5]s {
		route-reflector %[2]s
		announce IPv4 none
		announce %[6]s unicast
		max-prefix %[7]d
	}
}
allow from ibgp
allow to ibgp
`, asNumber, targetIPv4, p.target(), filepath.Join(h.Dir(), "bgpd.sock"), clients, family, p.limit()))
	if err := errors.Join(
		os.Chmod(conf, 0o600),               // one that others may read is refused
		os.MkdirAll("/run/openbgpd", 0o755), // where its processes lock themselves in; its unit makes it
	); err != nil {
		t.Fatalf("prepare OpenBGPD: %v", err)
	}
	program := filepath.Join(filepath.Dir(testenv.Program("bgpctl")), "bgpd")
	return []*lab.Process{h.Start("openbgpd", []string{program, "-d", "-f", conf}, lab.ProcessOptions{})}
}

// startGoBGP runs GoBGP's own daemon with one dynamic neighbour range.
func startGoBGP(_ lab.T, h *lab.Host, p Plan) []*lab.Process {
	family, clients := "ipv4", clientsIPv4
	if p.IPv6 {
		family, clients = "ipv6", clientsIPv6
	}
	conf := h.Lab().File(filepath.Join(h.Name(), "gobgpd.toml"), fmt.Sprintf(`
[global.config]
as = %[1]d
router-id = %[2]q

[[peer-groups]]
[peer-groups.config]
peer-group-name = "clients"
peer-as = %[1]d
[peer-groups.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = %[2]q
[[peer-groups.afi-safis]]
[peer-groups.afi-safis.config]
afi-safi-name = "%[3]s-unicast"
[peer-groups.afi-safis.prefix-limit.config]
max-prefixes = %[5]d

[[dynamic-neighbors]]
[dynamic-neighbors.config]
prefix = %[4]q
peer-group = "clients"
`, asNumber, targetIPv4, family, clients, p.limit()))
	argv := []string{
		testenv.Program("gobgpd"), "-f", conf, "-l", "warn", "-p", "--api-hosts", "127.0.0.1:50051", "--pprof-disable",
	}
	return []*lab.Process{h.Start("gobgpd", argv, lab.ProcessOptions{})}
}

func floorStarter(command []string) func(lab.T, *lab.Host, Plan) []*lab.Process {
	return func(t lab.T, h *lab.Host, p Plan) []*lab.Process {
		t.Helper()
		if len(command) == 0 {
			t.Fatalf("no command line for the floor is known")
		}
		return []*lab.Process{h.Start("floor", append(slices.Clone(command), p.target().String()), lab.ProcessOptions{})}
	}
}

// output is the end of what the target's processes wrote, for errors.
func output(processes []*lab.Process) string {
	var b strings.Builder
	for _, p := range processes {
		text := strings.TrimSpace(p.Output())
		if len(text) > 2000 {
			text = "..." + text[len(text)-2000:]
		}
		fmt.Fprintf(&b, "%s: %s\n", p.Name, text)
	}
	return b.String()
}
