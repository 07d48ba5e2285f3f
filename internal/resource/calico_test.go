package resource

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
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
				"metadata.creationTimestamp: ignored, the server sets it"}
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
