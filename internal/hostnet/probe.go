package hostnet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Two answers of a probe that are neither yes nor no.
var (
	errNotLoaded = errors.New("a kernel module that is not loaded")
	errUnknown   = errors.New("not tried: that could load a kernel module")
)

// probe tries features in a network namespace that is thrown away. The error
// says why there could be none.
func probe() (map[string]error, error) {
	results := map[string]error{}
	done := make(chan error)
	go func() {
		done <- inFreshNamespace(func() error {
			link, err := probeLink()
			if err != nil {
				return err
			}
			results["ipv6"] = probeIPv6()
			results["route_strict_dumps"] = probeStrictDumps()
			results["nexthop_objects"] = probeNexthop(1, nl.NewRtAttr(unix.NHA_BLACKHOLE, nil))
			results["nexthop_groups"] = probeNexthop(2, nl.NewRtAttr(unix.NHA_GROUP, groupOf(1)))
			results["ipv4_via_ipv6"] = probeViaIPv6(link)
			results["tcp_md5"] = probeMD5()
			results["nftables"] = withModule("nf_tables", probeNftables)
			for _, kind := range []string{"vxlan", "ipip", "wireguard", "vrf"} {
				results[kind] = withModule(kind, func() error { return probeKind(kind) })
			}
			return nil
		})
	}()
	return results, <-done
}

// inFreshNamespace runs f on a thread in a new network namespace, which ends
// with it. The thread comes home, or it is given up.
func inFreshNamespace(f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("make a network namespace to try things in: %w", err)
	}
	result := f()
	if err := netns.Set(home); err != nil {
		// Still locked, the thread ends with its goroutine.
		return errors.Join(result, fmt.Errorf("return to own network namespace: %w", err))
	}
	runtime.UnlockOSThread()
	return result
}

// probeLink makes a link to route over.
func probeLink() (netlink.Link, error) {
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: "probe0", TxQLen: -1})
	veth.PeerName = "probe1"
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("make a veth pair to try things on: %w", err)
	}
	for _, name := range []string{"lo", "probe0", "probe1"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return nil, err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return nil, err
		}
	}
	return netlink.LinkByName("probe0")
}

func probeIPv6() error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_ = unix.Close(fd)
	_, err = os.Stat("/proc/sys/net/ipv6/conf/all/forwarding")
	return err
}

func probeStrictDumps() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
}

// probeNexthop adds a next-hop object. The netlink library has none of it.
func probeNexthop(id uint32, content *nl.RtAttr) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	header := make(rawData, unix.SizeofNhmsg) // family, scope, protocol, 0, flags
	if content.Type != unix.NHA_GROUP {
		header[0] = unix.AF_INET
	}
	req.AddData(header)
	req.AddData(nl.NewRtAttr(unix.NHA_ID, nl.Uint32Attr(id)))
	req.AddData(content)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// rawData is a message header that the netlink library does not know. (Its
// own raw data would go behind the attributes.)
type rawData []byte

func (d rawData) Len() int          { return len(d) }
func (d rawData) Serialize() []byte { return d }

// groupOf is an NHA_GROUP of one member: id, weight, reserved.
func groupOf(id uint32) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, id), 0, 0, 0, 0)
}

func probeViaIPv6(link netlink.Link) error {
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       &net.IPNet{IP: net.IPv4(192, 0, 2, 0).To4(), Mask: net.CIDRMask(24, 32)},
		Via:       &netlink.Via{AddrFamily: unix.AF_INET6, Addr: net.ParseIP("fe80::1")},
		Flags:     unix.RTNH_F_ONLINK,
	})
}

// probeMD5 sets a TCP-MD5 key (RFC 2385) for a peer. struct tcp_md5sig is a
// sockaddr_storage of 128 bytes; flags, prefix length (1 each), key length
// (2), interface index (4); the key (80).
func probeMD5() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	sig := make([]byte, 128+8+80)
	binary.NativeEndian.PutUint16(sig, unix.AF_INET)
	copy(sig[4:], net.IPv4(192, 0, 2, 1).To4())
	binary.NativeEndian.PutUint16(sig[130:], 1)
	sig[136] = 'x'
	return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, string(sig))
}

// probeNftables asks for the generation of the rule set.
func probeNftables() error {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, unix.NLM_F_ACK)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	return err
}

func probeKind(kind string) error {
	attrs := netlink.LinkAttrs{Name: "probe2", TxQLen: -1}
	var link netlink.Link = &netlink.GenericLink{LinkAttrs: attrs, LinkType: kind}
	switch kind {
	case "vxlan":
		link = &netlink.Vxlan{LinkAttrs: attrs, VxlanId: 1, Port: 4789}
	case "ipip":
		link = &netlink.Iptun{LinkAttrs: attrs, Local: net.IPv4(192, 0, 2, 1), Remote: net.IPv4(192, 0, 2, 2)}
	case "vrf":
		link = &netlink.Vrf{LinkAttrs: attrs, Table: 10}
	}
	if err := netlink.LinkAdd(link); err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

// withModule runs a probe if that cannot load the module: loading ipip, for
// one, makes a device in every namespace, the host's own included.
func withModule(name string, run func() error) error {
	loadable, known := loadableModule(name)
	switch {
	case !known:
		return errUnknown
	case loadable:
		return errNotLoaded
	}
	return run()
}

// loadableModule reports whether asking for name would load a module. It is
// not known where the kernel's modules cannot be listed, as in a container.
func loadableModule(name string) (loadable, known bool) {
	if _, err := os.Stat("/proc/modules"); errors.Is(err, os.ErrNotExist) {
		return false, true // a kernel without modules
	}
	if _, err := os.Stat(filepath.Join("/sys/module", name)); err == nil {
		return false, true
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false, false
	}
	dir := filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:]))
	list, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return false, false
	}
	defer list.Close()
	for scan := bufio.NewScanner(list); scan.Scan(); {
		file, _, _ := strings.Cut(scan.Text(), ":")
		if base, _, _ := strings.Cut(filepath.Base(file), "."); base == name {
			return true, true
		}
	}
	return false, true
}
