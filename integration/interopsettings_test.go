package integration_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// TestInteropSigned has sessions with BIRD, FRR and GoBGP that are signed (RFC
// 2385) and take packets of neighbours only (RFC 5082), and looks at each
// packet.
func TestInteropSigned(t *testing.T) {
	t.Parallel()
	const password = "of-the-lab"
	x := newInterop(t, "signed", 1, "bird", "frr", "gobgp")
	r := x.reflectors[0]
	x.settings = ", ttlSecurity: 1, password: {secretKeyRef: {name: bgp, key: routers}}"
	x.startReflector(0, "---\napiVersion: vrouter/v1\nkind: Secret\nmetadata: {name: bgp}\n"+
		"spec: {stringData: {routers: "+password+"}}\n")
	x.startRouters(2, func(_ *foreign, s *fabric.RouterSpec) {
		for i := range s.Peers {
			s.Peers[i].Password, s.Peers[i].TTLSecurity = password, true
		}
	})
	x.requireReflected(r)
	x.requireWellFormed(20)
	for family, from := range r.addresses() {
		for _, f := range x.routers {
			to := f.addresses()[family]
			limit := "ip.ttl"
			if family > 0 {
				limit = "ipv6.hlim"
			}
			if n, err := r.capture.Packets(t.Context(), from, to, "tcp.options.md5 && "+limit+" == 255"); err != nil || n == 0 {
				t.Errorf("%d signed packets from %s to %s (%v)", n, from, to, err)
			}
			// A RST answers what no session is for, and is not signed.
			bare := "tcp.flags.reset == 0 && tcp.len > 0 && (!tcp.options.md5 || " + limit + " < 255)"
			if n, err := r.capture.Packets(t.Context(), from, to, bare); err != nil || n > 0 {
				t.Errorf("%d packets from %s to %s without signature or from afar (%v)", n, from, to, err)
			}
		}
	}
}

// TestInteropAddPath has BIRD, FRR and GoBGP tell the same prefix, and each
// other's paths of it come to all of them over both reflectors (RFC 7911). A
// host of ours beside them spreads its packets over all.
func TestInteropAddPath(t *testing.T) {
	t.Parallel()
	x := newInterop(t, "addpath", 2, "bird", "frr", "gobgp")
	first, second := x.reflectors[0], x.reflectors[1]
	h, v4 := x.Host("host")
	v6 := sixOf(v4)
	host := ""
	for family, a := range []netip.Addr{v4, v6} {
		host += fmt.Sprintf("---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: host-%d}\n"+
			"spec: {peerIP: %q, asNumber: %d, addPath: {send: All}}\n", family, a, resource.DefaultASNumber)
	}
	x.settings = ", addPath: {send: All, receive: true}"
	x.startReflector(0, host)
	x.startReflector(1, host)
	x.startRouters(1, func(_ *foreign, s *fabric.RouterSpec) {
		for i := range s.Peers {
			s.Peers[i].AddPath = true
		}
	})
	anycast := func(f *foreign) []fabric.Own {
		var own []fabric.Own
		for _, prefix := range []string{"10.65.100.1/32", "fd00:65::100:1/128"} {
			own = append(own, fabric.Own{
				Prefix: netip.MustParsePrefix(prefix), LocalPref: 100, Community: fmt.Sprintf("64512:%d", f.number),
			})
		}
		return own
	}
	for _, f := range x.routers {
		f.tell(append(f.routes(1), anycast(f)...)...)
	}
	d := fabric.New(t, h, fabric.Settings{IPv4: v4.String() + "/24", IPv6: v6.String() + "/64"})
	d.WaitReady()
	manifest := fabric.PoolManifest + fabric.NoMesh
	for _, r := range x.reflectors {
		for family, a := range r.addresses() {
			manifest += fmt.Sprintf("---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: %s-%d}\n"+
				"spec: {peerIP: %q, asNumber: %d, addPath: {receive: true}}\n", r.Name(), family, a, resource.DefaultASNumber)
		}
	}
	d.Apply(manifest)
	x.requireReflected(first, second)
	requireLearned(t, h, ""+
		"10.65.1.1 via 10.0.0.3\n10.65.100.1 via 10.0.0.3, 10.0.0.4, 10.0.0.5\n10.65.2.1 via 10.0.0.4\n10.65.3.1 via 10.0.0.5\n"+
		"fd00:65::100:1 via fd00::3, fd00::4, fd00::5\nfd00:65::1:1 via fd00::3\nfd00:65::2:1 via fd00::4\nfd00:65::3:1 via fd00::5\n")

	gone := x.routers[0]
	gone.tell(gone.routes(1)...)
	x.requireReflected(first, second)
	x.dismiss(first) // each reflector tells all paths by itself
	x.requireReflected(second)
	requireLearned(t, h, ""+
		"10.65.1.1 via 10.0.0.3\n10.65.100.1 via 10.0.0.4, 10.0.0.5\n10.65.2.1 via 10.0.0.4\n10.65.3.1 via 10.0.0.5\n"+
		"fd00:65::100:1 via fd00::4, fd00::5\nfd00:65::1:1 via fd00::3\nfd00:65::2:1 via fd00::4\nfd00:65::3:1 via fd00::5\n")
	x.requireWellFormed(40)
}
