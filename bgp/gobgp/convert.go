package gobgp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/apiutil"
	wire "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/projectvrouter/vrouter/bgp"
)

func apiFamily(f bgp.Family) *api.Family {
	if f == bgp.IPv6Unicast {
		return &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
	}
	return &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
}

func (s *Speaker) addPath(p netip.Prefix, a bgp.Attributes) error {
	path, err := toAPI(p, a)
	if err == nil {
		_, err = s.server.AddPath(context.Background(), &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: path})
	}
	if err != nil {
		return fmt.Errorf("originate %s: %w", p, err)
	}
	return nil
}

func (s *Speaker) deletePath(p netip.Prefix) error {
	path, err := toAPI(p, bgp.Attributes{})
	if err == nil {
		err = s.server.DeletePath(context.Background(), &api.DeletePathRequest{TableType: api.TableType_GLOBAL, Path: path})
	}
	if err != nil {
		return fmt.Errorf("withdraw %s: %w", p, err)
	}
	return nil
}

// toAPI is an origination in GoBGP's words. An unspecified next hop becomes
// the local address of each session.
func toAPI(p netip.Prefix, a bgp.Attributes) (*api.Path, error) {
	var nlri wire.AddrPrefixInterface
	nextHop := a.NextHop
	attrs := []wire.PathAttributeInterface{wire.NewPathAttributeOrigin(uint8(bgp.OriginIGP))}
	if p.Addr().Is4() {
		if !nextHop.IsValid() {
			nextHop = netip.IPv4Unspecified()
		}
		nlri = wire.NewIPAddrPrefix(uint8(p.Bits()), p.Addr().String())
		attrs = append(attrs, wire.NewPathAttributeNextHop(nextHop.String()))
	} else {
		if !nextHop.IsValid() {
			nextHop = netip.IPv6Unspecified()
		}
		nlri = wire.NewIPv6AddrPrefix(uint8(p.Bits()), p.Addr().String())
		attrs = append(attrs, wire.NewPathAttributeMpReachNLRI(nextHop.String(), []wire.AddrPrefixInterface{nlri}))
	}
	if a.MED != 0 {
		attrs = append(attrs, wire.NewPathAttributeMultiExitDisc(a.MED))
	}
	if a.LocalPref != 0 {
		attrs = append(attrs, wire.NewPathAttributeLocalPref(a.LocalPref))
	}
	if len(a.Communities) > 0 {
		list := make([]uint32, len(a.Communities))
		for i, c := range a.Communities {
			list[i] = uint32(c)
		}
		attrs = append(attrs, wire.NewPathAttributeCommunities(list))
	}
	if len(a.LargeCommunities) > 0 {
		list := make([]*wire.LargeCommunity, len(a.LargeCommunities))
		for i, c := range a.LargeCommunities {
			list[i] = &wire.LargeCommunity{ASN: c.Global, LocalData1: c.Local1, LocalData2: c.Local2}
		}
		attrs = append(attrs, wire.NewPathAttributeLargeCommunities(list))
	}
	return apiutil.NewPath(nlri, false, attrs, time.Now())
}

// fromAPI is a learned path in our words; the caller fills in Peer.
func fromAPI(a *api.Path) (bgp.Path, error) {
	nlri, err := apiutil.GetNativeNlri(a)
	if err != nil {
		return bgp.Path{}, fmt.Errorf("decode prefix: %w", err)
	}
	prefix, err := netip.ParsePrefix(nlri.String())
	if err != nil {
		return bgp.Path{}, fmt.Errorf("decode prefix: %w", err)
	}
	p := bgp.Path{Prefix: prefix.Masked(), PeerAS: a.SourceAsn, LocalPref: bgp.DefaultLocalPref, Stale: a.Stale}
	p.PeerID, _ = netip.ParseAddr(a.SourceId)
	if a.IsWithdraw {
		return p, nil
	}
	attrs, err := apiutil.GetNativePathAttributes(a)
	if err != nil {
		return bgp.Path{}, fmt.Errorf("decode attributes of %s: %w", prefix, err)
	}
	for _, attr := range attrs {
		setAttribute(&p, attr)
	}
	return p, nil
}

func setAttribute(p *bgp.Path, attr wire.PathAttributeInterface) {
	switch a := attr.(type) {
	case *wire.PathAttributeOrigin:
		p.Origin = bgp.Origin(a.Value)
	case *wire.PathAttributeNextHop:
		p.NextHop = addr(a.Value)
	case *wire.PathAttributeMpReachNLRI:
		p.NextHop = addr(a.Nexthop)
	case *wire.PathAttributeAsPath:
		for _, segment := range a.Value {
			p.ASPath = append(p.ASPath, segment.GetAS()...)
			p.ASPathLen += segment.ASLen()
		}
	case *wire.PathAttributeLocalPref:
		p.LocalPref = a.Value
	case *wire.PathAttributeMultiExitDisc:
		p.MED = a.Value
	case *wire.PathAttributeCommunities:
		for _, c := range a.Value {
			p.Communities = append(p.Communities, bgp.Community(c))
		}
	case *wire.PathAttributeLargeCommunities:
		for _, c := range a.Values {
			p.LargeCommunities = append(p.LargeCommunities, bgp.LargeCommunity{Global: c.ASN, Local1: c.LocalData1, Local2: c.LocalData2})
		}
	case *wire.PathAttributeOriginatorId:
		p.OriginatorID = addr(a.Value)
	case *wire.PathAttributeClusterList:
		for _, id := range a.Value {
			p.ClusterList = append(p.ClusterList, addr(id))
		}
	}
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
