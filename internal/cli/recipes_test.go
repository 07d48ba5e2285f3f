package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

// TestRecipesApply has the server of vrouterd take every recipe of policy. What
// it gives back is a set of manifests, too, and the probes end as expected by these
// as well.
func TestRecipesApply(t *testing.T) {
	dirs, err := filepath.Glob("../../configs/examples/policy/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recipes: %v", err)
	}
	const secret = `{"apiVersion": "vrouter/v1", "kind": "Secret", "metadata": {"name": "bgp"}, "spec": {"stringData": {"p": "x"}}}`
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f := realServer(t, store.NewMemory())
			run := func(in string, args ...string) string {
				t.Helper()
				r := f.runWith(IO{In: strings.NewReader(in)}, args...)
				if r.code != ExitOK || r.err != "" {
					t.Fatalf("%s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
				}
				return r.out
			}
			run("", "apply", "-f", dir)
			for line := range strings.Lines(run("", "apply", "-f", dir)) {
				if !strings.HasSuffix(line, " unchanged\n") {
					t.Errorf("applied again: %s", line)
				}
			}
			run(secret, "apply", "-f", "-")
			stored := filepath.Join(t.TempDir(), "stored.yaml")
			if err := os.WriteFile(stored, []byte(run("", "get", "all", "-A", "-o", "yaml")), 0o600); err != nil {
				t.Fatal(err)
			}
			run("", "policy", "test", "-f", stored, "--probes", filepath.Join(dir, "probes.jsonl"))
		})
	}
}
