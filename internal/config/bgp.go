package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// bgpPort is where BGP listens (RFC 4271, section 8.2.1).
const bgpPort = 179

func (c *checker) bgp(raw *rawBGP) BGP {
	b := BGP{
		ListenPort:      uint16(c.integer("bgp.listenPort", raw.ListenPort, bgpPort, 1, 65535)),
		ListenAddresses: c.listenAddresses("bgp.listenAddresses", raw.ListenAddresses),
		Peers:           c.peers("bgp.peers", raw.Peers),
		Accept:          c.prefixes("bgp.accept", raw.Accept),
		// RFC 4724, section 3: the restart time has 12 bits.
		GracefulRestartTime: c.seconds("bgp.gracefulRestartTime", raw.GracefulRestartTime, 120*time.Second, time.Second, 4095*time.Second),
		AdvertiseDelay:      c.duration("bgp.advertiseDelay", raw.AdvertiseDelay, 20*time.Second, 0, 4095*time.Second),
		ConnectRetry:        c.seconds("bgp.connectRetry", raw.ConnectRetry, 2*time.Second, time.Second, time.Hour),
		// RFC 4271, section 4.2: at least three seconds, in 16 bits. Zero, no
		// keepalives at all, is not offered: a dead peer would be kept for ever.
		HoldTime:     c.seconds("bgp.holdTime", raw.HoldTime, 90*time.Second, 3*time.Second, 65535*time.Second),
		MeshMaxNodes: int(c.integer("bgp.meshMaxNodes", raw.MeshMaxNodes, 100, 0, 1<<20)),
		SecretsDir:   c.path("bgp.secretsDir", raw.SecretsDir, "/etc/vrouter/secrets"),
		RetireTime:   c.duration("bgp.retireTime", raw.RetireTime, 5*time.Minute, 0, 24*time.Hour),
	}
	if b.AdvertiseDelay > b.GracefulRestartTime {
		path := "bgp.advertiseDelay"
		if raw.AdvertiseDelay == nil {
			path = "bgp.gracefulRestartTime"
		}
		c.problem(path, "the advertise delay, %s, is longer than the graceful restart time, %s: peers would drop our routes before they get new ones",
			b.AdvertiseDelay, b.GracefulRestartTime)
	}
	return b
}

func (c *checker) listenAddresses(path string, raw []string) []netip.Addr {
	var addrs []netip.Addr
	seen := map[netip.Addr]bool{}
	for i, s := range raw {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil || a.IsMulticast() || a.Is4In6():
			c.problem(index(path, i), "%q is not an address to listen on", s)
		case seen[a]:
			c.problem(index(path, i), "%s stands here twice", a)
		}
		seen[a] = true
		addrs = append(addrs, a)
	}
	return addrs
}

func (c *checker) prefixes(path string, raw []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for i, s := range raw {
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil || p.Addr().Is4In6():
			c.problem(index(path, i), "%q is not a prefix such as 192.0.2.0/24", s)
		case p != p.Masked():
			c.problem(index(path, i), "%s has bits beyond its length: is it %s?", p, p.Masked())
		case slices.Contains(prefixes, p):
			c.problem(index(path, i), "%s stands here twice", p)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes
}

func (c *checker) peers(path string, raw []rawPeer) []Peer {
	var peers []Peer
	names, addrs := map[string]string{}, map[netip.AddrPort]string{}
	for i, r := range raw {
		at := index(path, i)
		c.needed(at+".name", r.Name != nil, "")
		c.needed(at+".peerIP", r.PeerIP != nil, "")
		c.needed(at+".asNumber", r.ASNumber != nil, "")
		p := Peer{
			Name:     text(r.Name, ""),
			Addr:     c.peerAddr(at+".peerIP", text(r.PeerIP, "")),
			ASNumber: c.asNumber(at+".asNumber", r.ASNumber),

			PasswordFile: text(r.PasswordFile, ""),
			TTLSecurity:  uint8(c.integer(at+".ttlSecurity", r.TTLSecurity, 0, 1, 255)),
		}
		if r.PasswordFile != nil {
			c.refused(at+".passwordFile", resource.CheckSecretFile(p.PasswordFile))
		}
		if err := resource.CheckName(p.Name); err != nil {
			c.refused(at+".name", err)
		} else if first, ok := names[p.Name]; ok {
			c.problem(at+".name", "%s is the name of %s, too", p.Name, first)
		} else {
			names[p.Name] = at
		}
		if first, ok := addrs[p.Addr]; ok && p.Addr.IsValid() {
			c.problem(at+".peerIP", "%s is the address of %s, too", p.Addr, first)
		} else {
			addrs[p.Addr] = at
		}
		peers = append(peers, p)
	}
	return peers
}

// peerAddr reads ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT.
func (c *checker) peerAddr(path, s string) netip.AddrPort {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		var a netip.Addr
		a, err = netip.ParseAddr(s)
		ap = netip.AddrPortFrom(a, bgpPort)
	}
	a := ap.Addr()
	switch {
	case err != nil:
		c.problem(path, "%q is not an address or address:port", s)
	case ap.Port() == 0:
		c.problem(path, "%q has port 0", s)
	case a.Is4In6() || a.IsUnspecified() || a.IsMulticast():
		c.problem(path, "%s cannot be a peer's address", a)
	case a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "":
		c.problem(path, "%s is link-local: name the interface, such as %s%%eth0", a, a)
	default:
		return ap
	}
	return netip.AddrPort{}
}
