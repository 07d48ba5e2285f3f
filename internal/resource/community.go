package resource

import (
	"fmt"
	"math"
	"strings"
)

// parseCommunity reads AA:NN (RFC 1997), AA:NN:NN (RFC 8092), or the name of a
// well-known community.
func parseCommunity(s string) (CommunityValue, error) {
	if v, ok := wellKnown(s); ok {
		return CommunityValue{Value: [3]uint32{v}}, nil
	}
	parts := strings.Split(s, ":")
	large := len(parts) == 3
	if len(parts) != 2 && !large {
		return CommunityValue{}, fmt.Errorf("%q is not a community: AA:NN, AA:NN:NN, or a well-known name", s)
	}
	most := uint64(math.MaxUint16)
	if large {
		most = math.MaxUint32
	}
	var v [3]uint32
	for i, part := range parts {
		n, err := parseDecimal(part, most)
		if err != nil {
			return CommunityValue{}, fmt.Errorf("%q is not a community: %w", s, err)
		}
		v[i] = uint32(n)
	}
	if !large {
		v = [3]uint32{v[0]<<16 | v[1]}
	}
	return CommunityValue{Large: large, Value: v}, nil
}

// wellKnown returns the community that IANA has registered by this name.
func wellKnown(name string) (uint32, bool) {
	switch name {
	case "graceful-shutdown": // RFC 8326
		return 0xffff0000, true
	case "blackhole": // RFC 7999
		return 0xffff029a, true
	case "no-export": // RFC 1997
		return 0xffffff01, true
	case "no-advertise":
		return 0xffffff02, true
	case "no-export-subconfed":
		return 0xffffff03, true
	case "no-peer": // RFC 3765
		return 0xffffff04, true
	}
	return 0, false
}
