package calico

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// FuzzConvert: whatever the files say, what is taken passes the checks of an
// import, every problem has a reason, and nothing panics.
func FuzzConvert(f *testing.F) {
	names, err := filepath.Glob("testdata/*/*")
	if err != nil || len(names) < 4 {
		f.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		if _, state, ok := strings.Cut(string(data), "\n===\n{\n  \"block"); ok {
			f.Add([]byte("kind: IPPool\napiVersion: projectcalico.org/v3\nmetadata: {name: p}\nspec: {cidr: 10.65.0.0/16, blockSize: 29}\n" +
				"===\n{}\n===\n{\"block" + state))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		taken, err := Convert(t.Context(), []File{{"f", data}})
		if bad := (*resource.Invalid)(nil); errors.As(err, &bad) {
			for _, p := range bad.Problems {
				if p.Reason == "" {
					t.Errorf("a problem of %q without a reason", p.Path)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err) // nothing else is the file's fault
		}
		if err := taken.File.Check(); err != nil {
			t.Error(err)
		}
	})
}
