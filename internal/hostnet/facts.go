package hostnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The sysctls that the check looks at.
const (
	keyNeighbours4   = "net/ipv4/neigh/default/gc_thresh3"
	keyNeighbours6   = "net/ipv6/neigh/default/gc_thresh3"
	keyIPv6Routes    = "net/ipv6/route/max_size"
	keyNexthopCompat = "net/ipv4/nexthop_compat_mode"
	keyForward4      = "net/ipv4/ip_forward"
	keyForward6      = "net/ipv6/conf/all/forwarding"
	keyHash4         = "net/ipv4/fib_multipath_hash_policy"
	keyHash6         = "net/ipv6/fib_multipath_hash_policy"
	keyReversePath   = "net/ipv4/conf/all/rp_filter"
	keyARPIgnore     = "net/ipv4/conf/all/arp_ignore"
	keyConntrack     = "net/netfilter/nf_conntrack_max"
)

var checkedKeys = []string{
	keyNeighbours4, keyNeighbours6, keyIPv6Routes, keyNexthopCompat, keyForward4, keyForward6,
	keyHash4, keyHash6, keyReversePath, keyARPIgnore, keyConntrack,
}

// facts are what evaluate judges.
type facts struct {
	netAdmin, netRaw, netBind bool

	probes   map[string]error // feature → nil if it works
	probeErr error            // why nothing could be tried

	sysctls  map[string]string // those that exist
	readOnly bool              // they cannot be written

	programs  map[string]bool
	drops     []string // where forwarded packets are dropped
	filterErr error    // why that could not be read

	ending []string // interfaces with a learned IPv6 default route that forwarding ends

	routes    map[uint8]int // protocol number of ours → routes that have it
	routesErr error
}

func (h *Host) gather(ctx context.Context, opts CheckOptions) facts {
	f := facts{sysctls: map[string]string{}, programs: map[string]bool{}}
	f.netAdmin, f.netRaw, f.netBind = capabilities()
	f.probes, f.probeErr = probe()
	for _, key := range checkedKeys {
		if value, err := h.sysctls.Get(key); err == nil {
			f.sysctls[key] = value
		}
	}
	f.readOnly = errors.Is(unix.Access(h.sysctls.path(keyForward4), unix.W_OK), unix.EROFS)
	for _, name := range []string{"iptables", "iptables-restore"} {
		_, err := exec.LookPath(name)
		f.programs[name] = err == nil
	}
	f.drops, f.filterErr = forwardDrops(ctx)
	f.routes, f.ending, f.routesErr = h.surveyRoutes(opts.Protocols)
	return f
}

// capabilities reads the effective set of this thread.
func capabilities() (netAdmin, netRaw, netBind bool) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		root := os.Geteuid() == 0
		return root, root, root
	}
	has := func(c int) bool { return data[0].Effective&(1<<c) != 0 }
	return has(unix.CAP_NET_ADMIN), has(unix.CAP_NET_RAW), has(unix.CAP_NET_BIND_SERVICE)
}

// surveyRoutes reads all routes once: how many carry our protocols, and which
// interfaces have a default route learned from router advertisements that
// will not be renewed because the host forwards.
func (h *Host) surveyRoutes(protocols []uint8) (ours map[uint8]int, ending []string, err error) {
	ours = map[uint8]int{}
	var learned []int
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		var counted map[uint8]int
		begin := func() { counted, learned = map[uint8]int{}, nil }
		err := h.eachRoute(family, unix.RT_TABLE_UNSPEC, begin, func(r *netlink.Route) {
			if slices.Contains(protocols, uint8(r.Protocol)) {
				counted[uint8(r.Protocol)]++
			}
			if family == netlink.FAMILY_V6 && r.Protocol == unix.RTPROT_RA && isDefault(r) {
				learned = append(learned, routeLinks(r)...)
			}
		})
		for protocol, n := range counted {
			ours[protocol] += n
		}
		if err != nil && !vanished(err) && !errors.Is(err, unix.EAFNOSUPPORT) {
			return nil, nil, fmt.Errorf("list routes: %w", err)
		}
	}
	for _, index := range learned {
		link, err := h.nl.LinkByIndex(index)
		if err != nil {
			continue // it went with its route
		}
		conf := "net/ipv6/conf/" + link.Attrs().Name
		forwards, _ := h.sysctls.Get(conf + "/forwarding")
		accepts, _ := h.sysctls.Get(conf + "/accept_ra")
		if forwards == "1" && accepts == "1" && !slices.Contains(ending, link.Attrs().Name) {
			ending = append(ending, link.Attrs().Name)
		}
	}
	return ours, ending, nil
}
