package hostnet

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func privileges(f facts) []Finding {
	capability := func(name string, has bool, missing Severity, use string) Finding {
		if has {
			return Finding{Name: name, Detail: "this process has " + strings.ToUpper("cap_"+name)}
		}
		return Finding{Name: name, Severity: missing,
			Detail: "this process lacks " + strings.ToUpper("cap_"+name) + ", without which it cannot " + use,
			Hint:   "run as root, or give the capability to the service (AmbientCapabilities in its unit)"}
	}
	return []Finding{
		capability("net_admin", f.netAdmin, Error, "change routes and interfaces"),
		capability("net_raw", f.netRaw, Warn, "answer DHCP on taps"),
		capability("net_bind_service", f.netBind, Warn, "listen on the BGP port, 179"),
	}
}

// feature is something the kernel may lack.
type feature struct {
	name    string
	missing Severity
	use     string // what suffers without it
	hint    string
}

var features = []feature{
	{"ipv6", Info, "the host has no IPv6", "boot without ipv6.disable=1 if IPv6 is wanted"},
	{"route_strict_dumps", Warn, "the kernel sends all routes where one protocol is asked for, so that reading back is slow", "use Linux 4.20 or later"},
	{"nexthop_objects", Warn, "a next hop that moves is written route by route", "use Linux 5.3 or later"},
	{"nexthop_groups", Warn, "a next hop that moves is written route by route", "use Linux 5.3 or later"},
	{"ipv4_via_ipv6", Warn, "IPv4 routes with IPv6 next hops (RFC 8950) cannot be installed", "use Linux 5.2 or later"},
	{"tcp_md5", Warn, "BGP peers with a password cannot be reached", "use a kernel with CONFIG_TCP_MD5SIG"},
	{"nftables", Info, "policy cannot use nftables", "use a kernel with CONFIG_NF_TABLES"},
	{"vxlan", Info, "no VXLAN overlay", "use a kernel with CONFIG_VXLAN"},
	{"ipip", Info, "no IP-in-IP overlay", "use a kernel with CONFIG_NET_IPIP"},
	{"wireguard", Info, "encryption runs in user space", "use a kernel with CONFIG_WIREGUARD"},
	{"vrf", Info, "no VRFs", "use a kernel with CONFIG_NET_VRF"},
}

func (r feature) judge(f facts) Finding {
	err, tried := f.probes[r.name]
	switch {
	case !tried && f.probeErr != nil:
		return Finding{Name: r.name, Severity: Info, Detail: "unknown: " + f.probeErr.Error(), Hint: "run the check as root"}
	case !tried || errors.Is(err, errUnknown):
		return Finding{Name: r.name, Severity: Info, Detail: "unknown: trying it could load a kernel module"}
	case errors.Is(err, errNotLoaded):
		return Finding{Name: r.name, Detail: "a kernel module that loads on first use"}
	case err != nil:
		return Finding{Name: r.name, Severity: r.missing, Detail: fmt.Sprintf("%s (%v)", r.use, err), Hint: r.hint}
	}
	return Finding{Name: r.name, Detail: "works"}
}

// The sizes below which a large fabric suffers. 8,192 neighbours are a full
// rack of workloads and a large layer-2 segment; a million IPv6 routes are
// what a fabric's /128s may come to.
const (
	minNeighbours = 8192
	minIPv6Routes = 1_000_000
)

// tables judges the limits of kernel tables. One that the kernel does not
// show (older, newer, or not the machine's own namespace) is passed over.
func tables(f facts) []Finding {
	var findings []Finding
	limit := func(name, key string, least int, what string) {
		n, err := strconv.Atoi(f.sysctls[key])
		if err != nil {
			return
		}
		fd := Finding{Name: name, Detail: fmt.Sprintf("the kernel holds up to %d %s", n, what)}
		if n < least {
			fd.Severity = Warn
			fd.Hint = fmt.Sprintf("sysctl -w %s=%d", strings.ReplaceAll(key, "/", "."), least)
		}
		findings = append(findings, fd)
	}
	limit("ipv4_neighbours", keyNeighbours4, minNeighbours, "IPv4 neighbours, local workloads among them")
	limit("ipv6_neighbours", keyNeighbours6, minNeighbours, "IPv6 neighbours, local workloads among them")
	limit("ipv6_routes", keyIPv6Routes, minIPv6Routes, "IPv6 routes")
	if mode := f.sysctls[keyNexthopCompat]; mode == "0" {
		findings = append(findings, Finding{Name: "nexthop_compat_mode", Severity: Info,
			Detail: "0: next hops move in one message, but other routing daemons on this host cannot resolve our routes"})
	} else if mode != "" {
		findings = append(findings, Finding{Name: "nexthop_compat_mode", Severity: Info,
			Detail: mode + ": every route of a next hop that moves is announced to listeners",
			Hint:   "sysctl -w net.ipv4.nexthop_compat_mode=0 where no other routing daemon runs"})
	}
	return findings
}

// forwarding judges the settings that Prepare writes, and those of "all" that
// override what PrepareInterface writes: the kernel takes the maximum of both.
func forwarding(f facts) []Finding {
	var findings []Finding
	for _, s := range []struct{ name, key string }{
		{"ipv4_forwarding", keyForward4}, {"ipv6_forwarding", keyForward6},
		{"ipv4_multipath_hash", keyHash4}, {"ipv6_multipath_hash", keyHash6},
	} {
		value, present := f.sysctls[s.key]
		fd := Finding{Name: s.name, Detail: s.key + " is " + value}
		switch {
		case !present && (s.key == keyForward6 || s.key == keyHash6):
			continue // no IPv6, which has a finding of its own
		case !present:
			fd.Severity, fd.Detail = Warn, "the kernel has no "+s.key
		case value != "1" && f.readOnly:
			fd.Severity, fd.Hint = Error, "it must be 1, and /proc/sys is read-only: set it from outside"
		case value != "1":
			fd.Severity, fd.Hint = Info, "the daemon sets it to 1"
		}
		findings = append(findings, fd)
	}
	return append(findings, reversePath(f), arpIgnore(f), advertisements(f))
}

func reversePath(f facts) Finding {
	fd := Finding{Name: "all_rp_filter", Detail: "net.ipv4.conf.all.rp_filter is " + f.sysctls[keyReversePath]}
	switch f.sysctls[keyReversePath] {
	case "1":
		fd.Severity = Warn
		fd.Detail += ": strict on every interface; packets that come back by another of several equal uplinks are dropped"
		fd.Hint = "sysctl -w net.ipv4.conf.all.rp_filter=0 and set it per interface; on workload interfaces the daemon does"
	case "2":
		fd.Severity = Warn
		fd.Detail += ": loose on every interface; it overrides the strict check on workload interfaces, so that a workload can forge its source"
		fd.Hint = "sysctl -w net.ipv4.conf.all.rp_filter=0"
	}
	return fd
}

func arpIgnore(f facts) Finding {
	fd := Finding{Name: "all_arp_ignore", Detail: "net.ipv4.conf.all.arp_ignore is " + f.sysctls[keyARPIgnore]}
	if n, err := strconv.Atoi(f.sysctls[keyARPIgnore]); err == nil && n > 0 {
		fd.Severity = Error
		fd.Detail += fmt.Sprintf(": workloads get no answer for their gateway %s, which is on lo", GatewayIPv4)
		fd.Hint = "sysctl -w net.ipv4.conf.all.arp_ignore=0 and set it on the uplinks that need it"
	}
	return fd
}

func advertisements(f facts) Finding {
	if len(f.ending) == 0 {
		return Finding{Name: "router_advertisements", Detail: "no default route depends on a setting that forwarding ends"}
	}
	return Finding{Name: "router_advertisements", Severity: Warn,
		Detail: "the IPv6 default route learned on " + strings.Join(f.ending, ", ") + " will run out: the host forwards, and accept_ra is 1",
		Hint:   "sysctl -w net.ipv6.conf." + f.ending[0] + ".accept_ra=2"}
}

// filters judges the firewall and what policy needs.
func filters(f facts) []Finding {
	var findings []Finding
	switch {
	case len(f.drops) > 0:
		findings = append(findings, Finding{Name: "forward_filter", Severity: Warn,
			Detail: "packets of workloads may be dropped by " + strings.Join(f.drops, "; by "),
			Hint:   filterHint(f.drops)})
	case f.filterErr != nil:
		findings = append(findings, Finding{Name: "forward_filter", Severity: Info, Detail: "unknown: " + f.filterErr.Error()})
	default:
		findings = append(findings, Finding{Name: "forward_filter", Detail: "nothing drops what is forwarded"})
	}
	iptables := Finding{Name: "iptables", Detail: "present"}
	if !f.programs["iptables"] || !f.programs["iptables-restore"] {
		iptables = Finding{Name: "iptables", Severity: Info, Detail: "policy cannot use iptables: the programs are absent", Hint: "install iptables if nftables is not to be used"}
	}
	conntrack := Finding{Name: "conntrack", Detail: "connections are tracked"}
	if _, tracked := f.sysctls[keyConntrack]; !tracked {
		conntrack = Finding{Name: "conntrack", Severity: Info, Detail: "connection tracking is not loaded; policy needs it"}
	}
	return append(findings, iptables, conntrack)
}

// filterHint says what can be done about drops of others.
func filterHint(drops []string) string {
	for _, d := range drops {
		if !strings.Contains(d, "filter chain FORWARD") && !strings.Contains(d, "tables-") {
			return "accept packets from and to workload interfaces in that chain itself: a drop of another chain of nftables is final, whatever rules of ours say"
		}
	}
	return "accept packets from and to workload interfaces there, or set acceptInForeignChains in the AgentConfiguration, with which vrouterd does"
}

// strangers reports routes with our protocol numbers. Whether a former run of
// the daemon or someone else made them cannot be seen.
func strangers(f facts) []Finding {
	var counts []string
	for protocol, n := range f.routes {
		counts = append(counts, fmt.Sprintf("%d of protocol %d", n, protocol))
	}
	slices.Sort(counts)
	if f.routesErr != nil {
		return []Finding{{Name: "route_protocols", Severity: Info, Detail: "unknown: " + f.routesErr.Error()}}
	}
	if len(counts) == 0 {
		return []Finding{{Name: "route_protocols", Detail: "no route has a protocol number of ours"}}
	}
	return []Finding{{Name: "route_protocols", Severity: Info,
		Detail: "routes with our protocol numbers are there: " + strings.Join(counts, ", "),
		Hint:   "they are adopted as those of a former run; if another routing daemon made them, configure other numbers"}}
}
