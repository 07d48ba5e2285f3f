package wire

import "fmt"

func codeName(c Code) string {
	switch c {
	case HeaderError:
		return "Message Header Error"
	case OpenError:
		return "OPEN Message Error"
	case UpdateError:
		return "UPDATE Message Error"
	case HoldTimerExpired:
		return "Hold Timer Expired"
	case FSMError:
		return "Finite State Machine Error"
	case Cease:
		return "Cease"
	case RouteRefreshError:
		return "ROUTE-REFRESH Message Error"
	case SendHoldExpired:
		return "Send Hold Timer Expired"
	}
	return fmt.Sprintf("error code %d", c)
}

// subcodeName is the name that IANA has for s among those of c.
func subcodeName(c Code, s Subcode) string {
	var names []string
	switch c {
	case HeaderError:
		names = []string{1: "Connection Not Synchronized", 2: "Bad Message Length", 3: "Bad Message Type"}
	case OpenError:
		names = []string{
			1: "Unsupported Version Number", 2: "Bad Peer AS", 3: "Bad BGP Identifier",
			4: "Unsupported Optional Parameter", 6: "Unacceptable Hold Time", 7: "Unsupported Capability", 11: "Role Mismatch",
		}
	case UpdateError:
		names = []string{
			1: "Malformed Attribute List", 2: "Unrecognized Well-known Attribute", 3: "Missing Well-known Attribute",
			4: "Attribute Flags Error", 5: "Attribute Length Error", 6: "Invalid ORIGIN Attribute",
			8: "Invalid NEXT_HOP Attribute", 9: "Optional Attribute Error", 10: "Invalid Network Field", 11: "Malformed AS_PATH",
		}
	case FSMError:
		names = []string{1: "unexpected message in OpenSent", 2: "unexpected message in OpenConfirm", 3: "unexpected message in Established"}
	case Cease:
		names = []string{
			1: "Maximum Number of Prefixes Reached", 2: "Administrative Shutdown", 3: "Peer De-configured",
			4: "Administrative Reset", 5: "Connection Rejected", 6: "Other Configuration Change",
			7: "Connection Collision Resolution", 8: "Out of Resources", 9: "Hard Reset", 10: "BFD Down",
		}
	case RouteRefreshError:
		names = []string{1: "Invalid Message Length"}
	}
	if int(s) < len(names) && names[s] != "" {
		return names[s]
	}
	return fmt.Sprintf("subcode %d", s)
}
