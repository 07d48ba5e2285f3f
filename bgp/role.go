package bgp

// Role is a BGP role, that of the one who sends it (RFC 9234 §4.1).
type Role uint8

// The roles. The zero Role is none.
const (
	RoleNone Role = iota
	RoleProvider
	RoleRouteServer
	RoleRouteServerClient
	RoleCustomer
	RolePeer
)

// String is the name of r in RFC 9234; empty for RoleNone.
func (r Role) String() string {
	switch r {
	case RoleProvider:
		return "Provider"
	case RoleRouteServer:
		return "RS"
	case RoleRouteServerClient:
		return "RS-Client"
	case RoleCustomer:
		return "Customer"
	case RolePeer:
		return "Peer"
	}
	return ""
}

// Fits reports whether r and the peer's role belong together (RFC 9234 §4.2).
func (r Role) Fits(peer Role) bool {
	switch r {
	case RoleProvider:
		return peer == RoleCustomer
	case RoleCustomer:
		return peer == RoleProvider
	case RoleRouteServer:
		return peer == RoleRouteServerClient
	case RoleRouteServerClient:
		return peer == RoleRouteServer
	case RolePeer:
		return peer == RolePeer
	}
	return false
}
