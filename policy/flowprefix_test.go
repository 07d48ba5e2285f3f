package policy

import (
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
)

func TestFlowPrefix(t *testing.T) {
	short := FlowSubject(resource.ID{Kind: "NetworkPolicy", Namespace: "shop", Name: "default.web"})
	long := FlowSubject(resource.ID{Kind: "NetworkPolicy", Namespace: "shop", Name: strings.Repeat("x", 200)})
	for _, c := range []struct {
		flow FlowPrefix
		want string
	}{
		{FlowPrefix{Deny, Ingress, 3, short}, "D i 3 NetworkPolicy/shop/default.web"},
		{FlowPrefix{Log, Egress, 1023, long}, "L e 1023 " + long},
		{FlowPrefix{Deny, Egress, -1, FlowTier("default")}, "D e - Tier/default"},
		{FlowPrefix{Deny, Ingress, -1, ProfilesSubject}, "D i - profiles"},
	} {
		got := c.flow.String()
		if got != c.want || len(got) > maxFlowPrefix {
			t.Errorf("%+v renders %q (%d bytes), want %q", c.flow, got, len(got), c.want)
		}
		if back, err := ParseFlowPrefix(got); err != nil || back != c.flow {
			t.Errorf("%q reads as %+v, %v", got, back, err)
		}
	}
}

func FuzzParseFlowPrefix(f *testing.F) {
	f.Add("D i 3 NetworkPolicy/shop/default.web")
	f.Fuzz(func(t *testing.T, s string) {
		flow, err := ParseFlowPrefix(s)
		if err != nil {
			return
		}
		if back, err := ParseFlowPrefix(flow.String()); err != nil || back != flow {
			t.Errorf("%q reads as %+v, which reads as %+v, %v", s, flow, back, err)
		}
	})
}
