package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

// TestDatastoreCommands moves what one server has to another.
func TestDatastoreCommands(t *testing.T) {
	old, next := store.NewMemory(), store.NewMemory()
	if _, _, err := store.EnsureIdentity(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	from, to := realServer(t, old), realServer(t, next)
	dir := t.TempDir()
	file := filepath.Join(dir, "cluster.export")
	env := IO{Getenv: func(name string) string { return map[string]string{"USER": "alice"}[name] }}
	run := func(f *fake, code int, out string, args ...string) result {
		t.Helper()
		r := f.runWith(env, args...)
		if r.code != code || !regexp.MustCompile("^(?:"+out+")$").MatchString(strings.TrimSuffix(r.out, "\n")) {
			t.Errorf("%q: exit code %d, want %d; got:\n%swant:\n%s", args, r.code, code, r.both, out)
		}
		return r
	}
	run(from, ExitOK, "(?s).*", "apply", "-f", "testdata/manifests/bgp.yaml")
	run(from, ExitOK, "(?s).*", "apply", "-f", "testdata/manifests/dir")
	r := run(from, ExitOK, `.* written: \d+ keys of cluster .* at revision \d+`, "datastore", "export", file)
	if !strings.Contains(r.err, "warning: the datastore is not locked") {
		t.Errorf("no warning: %s", r.err)
	}
	run(from, ExitOK, "datastore locked: nothing is written until 'vrouterctl datastore unlock'", "datastore", "lock", "--reason", "new etcd")
	run(from, ExitOK, `datastore was locked already by alice@\S+ since \S+ \(new etcd\)`, "datastore", "lock")
	run(from, ExitOK, `(?s).*store     locked by alice@\S+ since \S+ \(new etcd\): nothing is written`, "cluster", "info")
	r = run(from, ExitFailed, "", "delete", "bgppeer", "rack1")
	if !strings.Contains(r.err, "the datastore is locked by alice@") || !strings.Contains(r.err, "vrouterctl datastore unlock") {
		t.Errorf("a write while locked: %s", r.err)
	}
	if r = run(from, ExitOK, `.* written: .*`, "datastore", "export", file); r.err != "" {
		t.Errorf("a locked export warns: %s", r.err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("more than the file is left: %v", names)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	damaged := filepath.Join(dir, "damaged")
	if err := os.WriteFile(damaged, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if r = run(to, ExitFailed, "", "datastore", "import", damaged); !strings.Contains(r.err, "not a whole export: line") {
		t.Errorf("a damaged file: %s", r.err)
	}
	run(to, ExitUsage, "", "datastore", "import", filepath.Join(dir, "none"))
	run(to, ExitUsage, "", "datastore", "import")
	run(to, ExitUsage, "", "datastore", "export", filepath.Join(dir, "none", "x"))
	run(to, ExitOK, `\d+ keys of cluster \S+ at revision \d+ would be imported \(dry run\)`, "datastore", "import", "--dry-run", file)
	run(to, ExitOK, "", "get", "ippools", "-o", "name")
	env.In = strings.NewReader(string(text))
	run(to, ExitOK, `(?s)\d+ keys of cluster \S+ at revision \d+ imported into cluster \S+\n.*cluster adopt.*`, "datastore", "import", "-")
	run(to, ExitOK, "ippool/four", "get", "ippools", "-o", "name")
	run(to, ExitFailed, "", "datastore", "import", file) // it is not empty any more
	run(to, ExitOK, "datastore unlocked", "datastore", "unlock")
	run(to, ExitOK, "datastore was not locked", "datastore", "unlock")
	run(to, ExitOK, "(?s).* deleted.*", "delete", "-f", "testdata/manifests/bgp.yaml")

	r = run(from, ExitOK, "(?s).*", "datastore", "export", "--without-secrets", "-")
	if strings.Contains(r.out, "r/Secret/") || !strings.Contains(r.err, "Secrets are not in the file") {
		t.Errorf("without secrets: %s", r.both)
	}
}
