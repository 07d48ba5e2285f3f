package resource

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestCalicoManifests: manifests as they are written for Calico apply unchanged,
// and read back as what is stored of them.
func TestCalicoManifests(t *testing.T) {
	files, err := filepath.Glob("testdata/calico/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		manifests, err := ReadManifests(file, data)
		if err != nil {
			t.Error(err)
		}
		for _, m := range manifests {
			server := []string{"status: ignored, the server sets it", "metadata.uid: ignored, the server sets it",
				"metadata.creationTimestamp: ignored, the server sets it", "metadata.generateName: ignored, names are not made here"}
			for _, w := range m.Warnings {
				if !slices.Contains(server, w) {
					t.Errorf("%s: %s", m.Source, w)
				}
			}
			raw := proto.Clone(m.Message)
			Canonicalize(m.Message)
			checkSame(t, m.Message)
			if _, err := Check(m.Message); err != nil {
				t.Errorf("%s: %v", m.Source, err)
			}
			if a, b := IDOf(raw), IDOf(m.Message); a != b {
				t.Errorf("%s: %s became %s", m.Source, a, b)
			}
		}
	}
}

// TestCheckChangesNothing: a raw object is as it was, also one that lacks
// everything, and what was made of it stays when it is changed.
func TestCheckChangesNothing(t *testing.T) {
	for _, kind := range Kinds() {
		empty, _ := New(kind)
		was := proto.Clone(empty)
		if _, err := Check(empty); !proto.Equal(empty, was) {
			t.Errorf("%s: %v became %v (%v)", kind, was, empty, err)
		}
	}
	m, err := FromJSON([]byte(object(KindGlobalNetworkPolicy, "x",
		"ingress: [{action: Allow, source: {serviceAccounts: {names: [b, a]}}}]")))
	if err != nil {
		t.Fatal(err)
	}
	checked, err := Check(m.Message)
	if err != nil {
		t.Fatal(err)
	}
	raw := m.Message.(*vrouterv1.GlobalNetworkPolicy).Spec.Ingress[0]
	if names := raw.Source.ServiceAccounts.Names; !slices.Equal(names, []string{"b", "a"}) {
		t.Errorf("the names became %v", names)
	}
	raw.Source.ServiceAccounts.Names[0] = "changed"
	rule := checked.(*Policy).Ingress[0]
	if rule.Source.Selector.String() != `projectcalico.org/serviceaccount in {"a", "b"}` {
		t.Errorf("the rule became %s", rule.Source.Selector)
	}
}
