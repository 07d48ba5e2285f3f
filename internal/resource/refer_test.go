package resource

import (
	"slices"
	"testing"
)

// TestReferences: every kind that refers to a kind is one of its Referrers.
func TestReferences(t *testing.T) {
	settings := SessionSettings{Filters: &[]string{"f", "g"}, Password: &SecretRef{Name: "s", Key: "k", Optional: true}}
	named := []ID{{Kind: KindSecret, Name: "s"}, {Kind: KindBGPFilter, Name: "f"}, {Kind: KindBGPFilter, Name: "g"}}
	for _, c := range []struct {
		object Object
		want   []ID
	}{
		{&BGPPeer{Settings: settings, Group: "tors"}, append(slices.Clone(named), ID{Kind: KindBGPPeerGroup, Name: "tors"})},
		{&BGPPeer{Settings: SessionSettings{Filters: &[]string{}, Password: &SecretRef{File: "s"}}}, nil},
		{&BGPPeerGroup{Settings: settings}, named},
		{&BGPConfiguration{Sessions: settings, MeshPassword: &SecretRef{Name: "m", Key: "k"}}, append(slices.Clone(named), ID{Kind: KindSecret, Name: "m"})},
		{&ReflectorGroup{Settings: settings}, named},
		{&Node{}, nil},
	} {
		got := References(c.object)
		if !slices.Equal(got, c.want) {
			t.Errorf("%T refers to %v, wanted %v", c.object, got, c.want)
		}
		for _, id := range got {
			if kind := kindOfChecked(c.object); !slices.Contains(Referrers(id.Kind), kind) {
				t.Errorf("a %s refers to %s and is none of its referrers", kind, id)
			}
		}
	}
}

func kindOfChecked(object Object) Kind {
	switch object.(type) {
	case *BGPPeer:
		return KindBGPPeer
	case *BGPPeerGroup:
		return KindBGPPeerGroup
	case *BGPConfiguration:
		return KindBGPConfiguration
	case *ReflectorGroup:
		return KindReflectorGroup
	}
	return ""
}
