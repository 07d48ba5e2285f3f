package agent

import (
	"context"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// host2 is the other node of the cluster, by its speaker alone.
type host2 struct {
	r *rig
	*bgptest.Fake
}

const addr2 = "192.0.2.2"

// node2 registers the other node.
func (r *rig) node2() {
	r.put(nodeObject("host2", addr2+"/24"))
}

// peer starts the other node's speaker with a session to host1.
func (r *rig) peer() *host2 {
	r.t.Helper()
	p := &host2{r: r, Fake: r.network.NewSpeaker()}
	err := p.Start(context.Background(), bgp.Settings{
		ASN: resource.DefaultASNumber, RouterID: netip.MustParseAddr(addr2),
		ListenAddresses: []netip.Addr{netip.MustParseAddr(addr2)},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	p.SetPools([]bgp.Pool{{Prefix: pfx("10.0.0.0/8")}})
	p.connect()
	return p
}

// connect states the session to host1.
func (p *host2) connect() {
	p.r.t.Helper()
	err := p.SetSessions([]bgp.Session{{
		Name: "host1", Peer: netip.MustParseAddr("192.0.2.1"),
		Local: netip.MustParseAddr(addr2), PeerAS: resource.DefaultASNumber,
	}})
	if err != nil {
		p.r.t.Fatal(err)
	}
	p.r.pass(0)
}

// disconnect takes the session away.
func (p *host2) disconnect() {
	_ = p.SetSessions(nil)
	p.r.pass(0)
}

func (p *host2) originate(prefixes ...string) {
	p.r.t.Helper()
	for _, s := range prefixes {
		if err := p.Originate(pfx(s), bgp.Attributes{}); err != nil {
			p.r.t.Fatal(err)
		}
	}
	p.r.pass(0)
}

func (p *host2) withdraw(prefixes ...string) {
	for _, s := range prefixes {
		_ = p.Withdraw(pfx(s))
	}
	p.r.pass(0)
}

// heard is the LOCAL_PREF with which a prefix came from host1; 0: it did not.
func (p *host2) heard(prefix string) uint32 {
	for e := range p.Routes(bgp.Query{Within: pfx(prefix), Peer: netip.MustParseAddr("192.0.2.1")}) {
		return e.LocalPref
	}
	return 0
}
