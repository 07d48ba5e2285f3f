package resource

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestManifests reads Calico's manifests, and compares what is stored of them
// with golden files. What is written out must read back as the same.
func TestManifests(t *testing.T) {
	for _, file := range manifestFiles(t) {
		t.Run(file, func(t *testing.T) {
			manifests, err := ReadManifests(file, testdata(t, file))
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, m := range manifests {
				writeGolden(t, &got, m)
			}
			golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".golden", got.String())
		})
	}
}

// manifestFiles returns the file of each kind in testdata, in the order of Kinds.
func manifestFiles(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, kind := range Kinds() {
		found, err := filepath.Glob("testdata/" + strings.ToLower(string(kind)) + ".[yj]*")
		if err != nil || len(found) != 1 {
			t.Fatalf("manifests of %s: %q, %v", kind, found, err)
		}
		files = append(files, filepath.Base(found[0]))
	}
	return files
}

func writeGolden(t *testing.T, b *strings.Builder, m Manifest) {
	t.Helper()
	fmt.Fprintf(b, "# %s\n", m.Source)
	for _, w := range m.Warnings {
		fmt.Fprintf(b, "# warning: %s\n", w)
	}
	Canonicalize(m.Message)
	object, err := Check(m.Message)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "# id: %s\n", object.Metadata().ID)
	fmt.Fprintf(b, "# row: %s\n", strings.Join(Row(m.Message, true), " | "))
	text, err := ToYAML(m.Message)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "---\n%s", text)
	checkSame(t, m.Message)
}

// checkSame fails unless a canonical object survives a way through every form,
// and is as it was when it is made canonical once more.
func checkSame(t *testing.T, msg proto.Message) {
	t.Helper()
	checkSameOnce(t, msg)
	again := proto.Clone(msg)
	Canonicalize(again)
	if diff := cmp.Diff(msg, again, protocmp.Transform()); diff != "" {
		t.Fatalf("canonical twice (-once +twice):\n%s", diff)
	}
}

// checkSameOnce fails unless the object survives a way through every form.
func checkSameOnce(t *testing.T, msg proto.Message) {
	t.Helper()
	for name, render := range map[string]func(proto.Message) ([]byte, error){"YAML": ToYAML, "JSON": ToJSON} {
		text, err := render(msg)
		if err != nil {
			t.Fatal(err)
		}
		again, err := FromJSON(text)
		if err != nil {
			t.Fatalf("%s reads back: %v\n%s", name, err, text)
		}
		if diff := cmp.Diff(msg, again.Message, protocmp.Transform()); diff != "" {
			t.Fatalf("%s reads back (-was +is):\n%s\n%s", name, diff, text)
		}
	}
}

func testdata(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", file), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(testdata(t, file)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
