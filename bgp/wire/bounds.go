package wire

// Bounds of what is taken from a peer. RFC 4271 has none, and what breaks them
// is no route of a network: the longest AS_PATHs of the Internet have some
// hundred numbers, and routes carry some ten communities. Each is so high that
// what we make of it fits into a message of 4096 octets in most cases, and so
// low that a peer cannot make every path cost what a long message holds (RFC
// 8654). Beyond them an UPDATE is treated as withdrawal.
const (
	maxASNumbers   = 1000 // of AS_PATH and AS4_PATH, a set's members each
	maxCommunities = 1000 // of each kind
	maxClusters    = 255
	maxAttributes  = 64
	maxUnknown     = 4096 // octets of an attribute that is not known
)

// checkBounds says whether a is larger than any route needs.
func checkBounds(a attribute, short bool) fault {
	n, limit := len(a.value), maxUnknown
	switch a.code {
	case AttrASPath:
		limit = 4 * maxASNumbers
		if short {
			limit = 2 * maxASNumbers
		}
	case AttrAS4Path:
		limit = 4 * maxASNumbers
	case AttrClusterList:
		limit = 4 * maxClusters
	case AttrCommunities:
		limit = 4 * maxCommunities
	case AttrExtended:
		limit = 8 * maxCommunities
	case AttrLargeCommunities:
		limit = 12 * maxCommunities
	case AttrExtendedIPv6:
		limit = 20 * maxCommunities
	}
	if n > limit {
		return fault{TreatAsWithdraw, AttributeLengthError, "larger than any route needs"}
	}
	return fault{}
}
