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

// TestDatastoreFromCalico takes what Calico's tools wrote, from several files.
func TestDatastoreFromCalico(t *testing.T) {
	to := realServer(t, store.NewMemory())
	state, endpoints := "../calico/testdata/etcd/migrate.export", "../calico/testdata/etcd/endpoints.yaml"
	run := func(code int, out, said string, args ...string) {
		t.Helper()
		r := to.runWith(IO{}, append([]string{"datastore", "import"}, args...)...)
		if r.code != code || !strings.Contains(r.out, out) || !strings.Contains(r.err, said) {
			t.Errorf("%q: exit code %d, want %d; got:\n%s", args, r.code, code, r.both)
		}
	}
	data, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	edited := filepath.Join(t.TempDir(), "edited")
	if err := os.WriteFile(edited, []byte(strings.ReplaceAll(string(data), "vxlanMode: Never", "vxlanMode: Sometimes")), 0o600); err != nil {
		t.Fatal(err)
	}
	run(ExitUsage, "", "unexpected argument", state, endpoints)
	run(ExitUsage, "", "is not calico", "--from", "cilium", state)
	run(ExitUsage, "", "FILE is needed", "--from", "calico")
	run(ExitUsage, "", state+" is given twice", "--from", "calico", state, endpoints, state)
	run(ExitUsage, "", "no such file", "--from", "calico", state, edited+"x")
	run(ExitFailed, "", edited+": document 1, item 1: spec.vxlanMode: ", "--from", "calico", edited, endpoints)
	run(ExitFailed, "", "line 1: it does not begin as an export", state)
	const what = "15 objects of cluster 0d5c2f4f1a1b4d9a8e3c5b7a9d1e3f50, 3 endpoints among them, and 5 blocks with 9 addresses, 5 of them external, "
	run(ExitOK, what+"would be imported (dry run)", "left out", "--from", "calico", "--dry-run", state, endpoints)
	run(ExitOK, what+"imported into cluster ", "left out", "--from", "calico", state, endpoints)
	if r := to.runWith(IO{}, "datastore", "unlock"); r.code != ExitOK {
		t.Error(r.both)
	}
	for _, c := range []struct{ says, args string }{
		{"shop/k8s/db-0/eth0", "ipam show --ip fd80:65::8"}, {"vxlan-tunnel-addr-rack1-host1", "ipam show --ip 10.65.0.0"},
		{"rack1-host1", "get nodes"}, {"deny-telnet", "get gnp"},
	} {
		if r := to.runWith(IO{}, strings.Fields(c.args)...); r.code != ExitOK || !strings.Contains(r.out, c.says) {
			t.Errorf("%s: %s", c.args, r.both)
		}
	}
}
