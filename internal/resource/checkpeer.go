package resource

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const (
	// anyExternal as the AS number of a peer is any but ours.
	anyExternal = "external"
	// maxRangeLimit bounds the dynamic neighbours of one BGPPeer.
	maxRangeLimit = 1 << 16
	// maxShutdownMessage is in octets (RFC 9003 §2).
	maxShutdownMessage = 255
)

func (p *problems) peer(meta Meta, spec *vrouterv1.BGPPeerSpec) *BGPPeer {
	peer := &BGPPeer{Meta: meta, Node: spec.GetNode(), Group: spec.GetPeerGroup()}
	if spec == nil {
		spec = &vrouterv1.BGPPeerSpec{}
	}
	if peer.Node != "" {
		p.err("spec.node", checkSubdomain(peer.Node))
	}
	if peer.Group != "" {
		p.err("spec.peerGroup", checkSubdomain(peer.Group))
	}
	var err error
	peer.NodeSelector, err = parseSelector(spec.NodeSelector)
	p.err("spec.nodeSelector", err)
	if spec.GetNode() != "" && spec.GetNodeSelector() != "" {
		p.addf("spec.nodeSelector", "must be empty when spec.node is given")
	}
	p.otherEnd(peer, spec)
	switch spec.GetReversePeering() {
	case "", "Auto":
	case "Manual":
		peer.ReverseManual = true
	default:
		p.addf("spec.reversePeering", "%q is none of Auto, Manual", spec.GetReversePeering())
	}
	p.shutdown(peer, spec)
	peer.Settings = p.settings("spec", settingsOf(spec))
	p.keepOriginal(peer, spec)
	p.sourceOf(peer)
	p.unsupported(spec.GetReachableBy() != "", "spec.reachableBy", "")
	return peer
}

// settingsOf returns what a peer says of what sessions inherit.
func settingsOf(spec *vrouterv1.BGPPeerSpec) *vrouterv1.BGPSessionSettings {
	return &vrouterv1.BGPSessionSettings{
		Filters:                  spec.Filters,
		Password:                 spec.Password,
		SourceAddress:            spec.SourceAddress,
		LocalAsNumber:            spec.LocalAsNumber,
		NumAllowedLocalAsNumbers: spec.NumAllowedLocalAsNumbers,
		NextHopMode:              spec.NextHopMode,
		Multihop:                 spec.Multihop,
		TtlSecurity:              spec.TtlSecurity,
		HoldTime:                 spec.HoldTime,
		KeepaliveTime:            spec.KeepaliveTime,
		ConnectRetryTime:         spec.ConnectRetryTime,
		MaxRestartTime:           spec.MaxRestartTime,
		LongLivedRestartTime:     spec.LongLivedRestartTime,
		AddPath:                  spec.AddPath,
		MaxPrefixes:              spec.MaxPrefixes,
		Families:                 spec.Families,
		ExtendedNextHop:          spec.ExtendedNextHop,
		Role:                     spec.Role,
		StrictRole:               spec.StrictRole,
		AcceptAnyFirstAs:         spec.AcceptAnyFirstAs,
		HonourBlackhole:          spec.HonourBlackhole,
		ReflectForeign:           spec.ReflectForeign,
	}
}

// otherEnd checks whom the session is with: an address or a range, with the AS
// that is there, or nodes.
func (p *problems) otherEnd(peer *BGPPeer, spec *vrouterv1.BGPPeerSpec) {
	if spec.GetLocalWorkloadSelector() != "" {
		p.unsupported(true, "spec.localWorkloadSelector", "")
		return
	}
	p.peerAS(peer, spec.AsNumber)
	var err error
	peer.PeerSelector, err = parseSelector(spec.PeerSelector)
	p.err("spec.peerSelector", err)
	byIP, bySelector, byRange := spec.GetPeerIp() != "", spec.GetPeerSelector() != "", spec.GetPeerRange() != ""
	switch {
	case byIP && bySelector:
		p.addf("spec.peerSelector", "must be empty when spec.peerIP is given")
	case byRange && (byIP || bySelector):
		p.addf("spec.peerRange", "must be empty when spec.peerIP or spec.peerSelector is given")
	case !byIP && !bySelector && !byRange:
		p.addf("spec.peerIP", "an address, a spec.peerRange or a spec.peerSelector is needed")
	case bySelector && spec.AsNumber != nil:
		p.addf("spec.asNumber", "must be empty when spec.peerSelector is given: the AS is that of each node")
	case byIP && spec.AsNumber == nil:
		p.addf("spec.asNumber", "the AS of %s is needed", spec.GetPeerIp())
	case byRange && spec.AsNumber == nil:
		p.addf("spec.asNumber", "the AS of the routers in %s is needed, or %q", spec.GetPeerRange(), anyExternal)
	}
	if byIP {
		peer.PeerIP, peer.PeerPort, err = parsePeerIP(spec.GetPeerIp())
		p.err("spec.peerIP", err)
	}
	p.peerRange(peer, spec)
}

func (p *problems) peerAS(peer *BGPPeer, v *structpb.Value) {
	switch {
	case v == nil:
	case v.GetStringValue() == anyExternal:
		peer.AnyExternalAS = true
	default:
		as, err := parseAS(v)
		p.err("spec.asNumber", err)
		peer.ASNumber = as
	}
}

// peerRange checks where dynamic neighbours come from, and how many.
func (p *problems) peerRange(peer *BGPPeer, spec *vrouterv1.BGPPeerSpec) {
	if spec.GetPeerRange() != "" {
		peer.PeerRange = p.cidr("spec.peerRange", spec.GetPeerRange())
	}
	if spec.RangeLimit == nil {
		return
	}
	peer.RangeLimit = int(*spec.RangeLimit)
	switch {
	case spec.GetPeerRange() == "":
		p.addf("spec.rangeLimit", "goes with spec.peerRange only")
	case peer.RangeLimit < 1 || peer.RangeLimit > maxRangeLimit:
		p.addf("spec.rangeLimit", "%d is not between 1 and %d", peer.RangeLimit, maxRangeLimit)
	}
}

// cidr reads a range of addresses, which has a length and no host bits.
func (p *problems) cidr(path, text string) netip.Prefix {
	cidr := p.network(path, text)
	if !strings.Contains(text, "/") && !p.has(path) {
		p.addf(path, "%q has no prefix length", text)
	}
	return cidr
}

// network reads a range, or an address as the range of it alone.
func (p *problems) network(path, text string) netip.Prefix {
	cidr, err := parsePrefix(text)
	p.err(path, err)
	if cidr != cidr.Masked() {
		p.addf(path, "%s has bits set beyond its prefix length; the range is %s", cidr, cidr.Masked())
	}
	return cidr
}

// parsePeerIP reads ADDRESS, IPV4:PORT or [IPV6]:PORT. No port gives zero.
func parsePeerIP(s string) (netip.Addr, uint16, error) {
	if end, err := netip.ParseAddrPort(s); err == nil {
		addr, err := parseAddr(end.Addr().String())
		if err == nil && end.Port() == 0 {
			err = errors.New("port 0 is not a port")
		}
		if err == nil {
			err = checkUnicast(addr)
		}
		return addr, end.Port(), err
	}
	if strings.HasPrefix(s, "[") || strings.Count(s, ":") == 1 {
		return netip.Addr{}, 0, fmt.Errorf("%q is not of the form IPV4:PORT or [IPV6]:PORT", s)
	}
	addr, err := parseAddr(s)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	return addr, 0, checkUnicast(addr)
}

func (p *problems) shutdown(peer *BGPPeer, spec *vrouterv1.BGPPeerSpec) {
	const path = "spec.shutdownMessage"
	peer.Shutdown, peer.ShutdownMessage = spec.GetShutdown(), spec.GetShutdownMessage()
	if peer.ShutdownMessage != "" && !peer.Shutdown {
		p.addf(path, "goes with spec.shutdown only")
		return
	}
	p.err(path, checkShutdownMessage(peer.ShutdownMessage))
}

// checkShutdownMessage says why a text cannot be told to peers when a session
// is closed (RFC 9003).
func checkShutdownMessage(s string) error {
	switch {
	case len(s) > maxShutdownMessage:
		return fmt.Errorf("%d octets long, at most %d are allowed (RFC 9003)", len(s), maxShutdownMessage)
	case !utf8.ValidString(s):
		return fmt.Errorf("%q is not UTF-8", s)
	}
	return nil
}

// keepOriginal reads Calico's older word for the next hop mode Keep.
func (p *problems) keepOriginal(peer *BGPPeer, spec *vrouterv1.BGPPeerSpec) {
	if !spec.GetKeepOriginalNextHop() {
		return
	}
	if spec.GetNextHopMode() != "" {
		p.addf("spec.keepOriginalNextHop", "must be empty when spec.nextHopMode is given")
	}
	peer.Settings.NextHopMode = new(NextHopKeep)
}

// sourceOf checks that the session could be between the two addresses.
func (p *problems) sourceOf(peer *BGPPeer) {
	s := peer.Settings.SourceAddress
	if s == nil || !s.Addr.IsValid() {
		return
	}
	to := peer.PeerIP
	if !to.IsValid() {
		to = peer.PeerRange.Addr()
	}
	switch {
	case to.IsValid() && to.Is4() != s.Addr.Is4():
		p.addf("spec.sourceAddress", "%s and %s are of two families", s.Addr, to)
	case s.Addr == peer.PeerIP:
		p.addf("spec.sourceAddress", "%s is the address of the peer", s.Addr)
	}
}
