package wire

import (
	"encoding/binary"

	"github.com/projectvrouter/vrouter/bgp"
)

// RefreshKind is the subtype of a ROUTE-REFRESH (RFC 7313 §3.2).
type RefreshKind uint8

// The kinds of ROUTE-REFRESH.
const (
	RefreshRequest RefreshKind = 0 // RFC 2918
	RefreshBegin   RefreshKind = 1 // BoRR: the routes that follow replace all before
	RefreshEnd     RefreshKind = 2 // EoRR: what was not told since BoRR is gone
)

// RouteRefresh is a ROUTE-REFRESH message (RFC 2918 §3, RFC 7313).
type RouteRefresh struct {
	Family bgp.Family // zero: none of ours, to be ignored
	Kind   RefreshKind
}

// ParseRouteRefresh reads the body of a ROUTE-REFRESH. Enhanced says that
// both ends have the capability of RFC 7313; otherwise every kind is a request,
// because the octet was reserved before. Outbound route filters (RFC 5291) in a
// request are ignored. Unknown kinds are left to be ignored (RFC 7313 §5). The
// error is a *Notification.
func ParseRouteRefresh(body []byte, enhanced bool) (RouteRefresh, error) {
	if len(body) < 4 {
		return RouteRefresh{}, &Notification{Code: HeaderError, Subcode: BadMessageLength, Data: lengthData(HeaderLen + len(body))}
	}
	f := FamilyCode{AFI: binary.BigEndian.Uint16(body), SAFI: body[3]}
	m := RouteRefresh{Family: f.Family()}
	if enhanced {
		m.Kind = RefreshKind(body[2])
	}
	if len(body) != 4 && (m.Kind == RefreshBegin || m.Kind == RefreshEnd) {
		whole, start := beginMessage(nil, TypeRouteRefresh)
		return RouteRefresh{}, &Notification{
			Code: RouteRefreshError, Subcode: InvalidRefreshLength, Data: endMessage(append(whole, body...), start),
		}
	}
	return m, nil
}

// AppendRouteRefresh appends m as a message.
func AppendRouteRefresh(b []byte, m RouteRefresh) []byte {
	b, start := beginMessage(b, TypeRouteRefresh)
	f := CodeOf(m.Family)
	b = append(b, byte(f.AFI>>8), byte(f.AFI), byte(m.Kind), f.SAFI)
	return endMessage(b, start)
}
