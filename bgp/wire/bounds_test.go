package wire

import (
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

// TestBounds: attributes larger than any route needs withdraw it, and the
// session lives on.
func TestBounds(t *testing.T) {
	path := func(n int) ASPath {
		var p ASPath
		for ; n > 0; n -= min(n, 255) {
			s := Segment{Type: ASSequence, AS: make([]uint32, min(n, 255))}
			for i := range s.AS {
				s.AS[i] = 65001
			}
			p = append(p, s)
		}
		return p
	}
	unknown := func(n int) (list []UnknownAttribute) {
		for i := range n {
			list = append(list, UnknownAttribute{Type: AttributeType(100 + i)})
		}
		return list
	}
	for name, c := range map[string]struct {
		attrs Attributes
		want  Action
	}{
		"a long path":          {Attributes{ASPath: path(900)}, OK},
		"too long a path":      {Attributes{ASPath: path(1100)}, TreatAsWithdraw},
		"many communities":     {Attributes{Communities: make([]bgp.Community, maxCommunities)}, OK},
		"too many communities": {Attributes{Communities: make([]bgp.Community, maxCommunities+1)}, TreatAsWithdraw},
		"too many large ones":  {Attributes{Large: make([]bgp.LargeCommunity, maxCommunities+1)}, TreatAsWithdraw},
		"too many extended":    {Attributes{Extended: make([]ExtendedCommunity, maxCommunities+1)}, TreatAsWithdraw},
		"many unknown":         {Attributes{Unknown: unknown(maxAttributes - 3)}, OK},
		"too many unknown":     {Attributes{Unknown: unknown(maxAttributes)}, TreatAsWithdraw},
		"too long an unknown":  {Attributes{Unknown: []UnknownAttribute{{Type: 99, Value: make([]byte, maxUnknown+1)}}}, TreatAsWithdraw},
		"as long as it may be": {Attributes{Unknown: []UnknownAttribute{{Type: 99, Value: make([]byte, maxUnknown)}}}, OK},
	} {
		c.attrs.NextHop.Addr = addr("192.0.2.1")
		raw := c.attrs.Append(nil)
		body := append([]byte{0, 0, byte(len(raw) >> 8), byte(len(raw))}, raw...)
		body = append(body, 32, 10, 0, 0, 1)
		var u Update
		v := u.Parse(body, Options{FourByteAS: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast), External: true})
		if v.Action != c.want || (len(u.Announced) == 1) != (c.want == OK) || (len(u.Withdrawn) == 1) == (c.want == OK) {
			t.Errorf("%s: %s, %d announced, %d withdrawn", name, v, len(u.Announced), len(u.Withdrawn))
		}
	}
}
