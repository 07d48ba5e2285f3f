package wire

import (
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

// TestMarks: communities and OTC are put in once, in their place, and leave the
// rest as it was.
func TestMarks(t *testing.T) {
	parse := func(raw []byte) Attributes {
		t.Helper()
		a, err := ParseAttributes(raw)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	plain := Attributes{MED: 7, HasMED: true, LocalPref: 300, HasLocalPref: true}
	tagged := plain
	tagged.Communities = []bgp.Community{1, bgp.NoExport}
	for _, a := range []Attributes{plain, tagged} {
		raw := a.Append(nil)
		got := parse(AppendCommunities(nil, raw, bgp.NoExport, bgp.LongLivedStale))
		want := a.Communities
		if !slices.Contains(want, bgp.NoExport) {
			want = append(want, bgp.NoExport)
		}
		if want = append(want, bgp.LongLivedStale); !slices.Equal(got.Communities, want) || got.MED != 7 || got.LocalPref != 300 {
			t.Errorf("%v with communities: %+v", a.Communities, got)
		}
		if got := parse(AppendLastResort(nil, raw)); got.LocalPref != 0 || !got.HasLocalPref || !slices.Contains(got.Communities, bgp.NoExport) || got.MED != 7 {
			t.Errorf("as a last resort: %+v", got)
		}
		once := AppendOnlyToCustomer(nil, raw, 65001)
		if got := parse(AppendOnlyToCustomer(nil, once, 65002)); got.OnlyToCustomer != 65001 || got.MED != 7 {
			t.Errorf("OTC: %+v", got)
		}
	}
}
