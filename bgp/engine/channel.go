package engine

import (
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// channel is one family of a session. Engine.mu guards it.
type channel struct {
	peer   *peer
	family bgp.Family
	source *source // of its paths
	member *member // while the family is agreed on and the session up

	endOfRIB  bool // since it is up
	complete  bool // nothing more is to be waited for after a restart
	warned    bool // of its limit of prefixes, since it is up
	retention retention
	reopened  bool        // we closed the last connection, to open this session anew
	until     time.Time   // when long-lived stale paths go; zero: there are none
	timer     *time.Timer // of stale paths
	epoch     int         // tells timers that come late
}

// joinLocked lets the channel get what a connection is to be sent.
func (c *channel) joinLocked(n session.Negotiated, wake chan struct{}) {
	e, w := c.peer.engine, c.source.want
	c.warned = false
	c.member = newMember(c.source.id, wake)
	hop := nextHop(w, c.family, n)
	if !hop.IsValid() {
		e.log.Warn("no next hop for our own routes", "peer", c.peer.endpoint().String(), "family", c.family.String())
	}
	e.rib.join(treatment{
		family: c.family, role: c.source.role, localAS: w.LocalAS,
		local: hop, cluster: w.ClusterID, form: n.Form(),
		longLived: c.retention.longLived > 0, as: w.Role,
		paths: w.AddPathSend, policy: e.rib.exportOf(w.Policy),
	}, c.member)
	// Who gets only what is our own need not wait for what others have.
	if c.member.waiting = c.member.group.reflects() && e.deferredLocked(c.family); !c.member.waiting {
		c.member.start()
	}
}

// nextHop is what our own routes of f are told with; zero: there is nothing
// that the peer would understand.
func nextHop(w bgp.Session, f bgp.Family, n session.Negotiated) netip.Addr {
	fits := func(a netip.Addr) bool {
		return bgp.FamilyOf(a) == f || f == bgp.IPv4Unicast && a.Is6() && n.ExtendedNextHop
	}
	wanted := w.NextHop4
	if f == bgp.IPv6Unicast {
		wanted = w.NextHop6
	}
	for _, a := range []netip.Addr{wanted, n.Local.Addr().WithZone("")} {
		if fits(a) {
			return a
		}
	}
	return netip.Addr{}
}

// announce takes the prefixes of one set of attributes.
func (c *channel) announce(a wire.Announcement) error {
	r := c.peer.engine.rib
	set, err := r.sets.intern(onlyToCustomer(c.source.want, a.Attributes))
	if err != nil {
		return err
	}
	defer r.sets.release(set)
	refusal := r.judge(c.source, set)
	if refusal != 0 {
		c.peer.stats.refused(r.refusals[refusal], a.NLRI.Count())
	}
	for prefix, id := range a.NLRI.All() {
		r.announce(c.source.id, prefix, id, set, refusal)
		if !c.boundLocked() {
			break
		}
	}
	return nil
}
