package etcd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigTellsAllProblems has each wrong setting named, all at once.
func TestConfigTellsAllProblems(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"nothing", Config{}, []string{"endpoints: none"}},
		{"everything", Config{
			Endpoints:    []string{"https://a:2379", "ftp://b", "http://c:2379", "http://\x00"},
			TLS:          TLSFiles{CA: empty, Cert: filepath.Join(dir, "none"), Key: empty},
			Prefix:       "vrouter",
			Username:     "host",
			PasswordFile: empty,
		}, []string{
			"must end in a slash", "ftp://b", "some with TLS and some without", "control character",
			"no certificate in", "client certificate", "password: " + empty,
		}},
		{"plain with certificates", Config{Endpoints: []string{"http://a:2379"}, TLS: TLSFiles{CA: empty}},
			[]string{"do without TLS"}},
		{"no authorities", Config{Endpoints: []string{"a:2379"}, TLS: TLSFiles{CA: filepath.Join(dir, "none")}},
			[]string{"authorities"}},
		{"no password", Config{Endpoints: []string{"a:2379"}, Username: "host"}, []string{"needs a password file"}},
		{"password away", Config{Endpoints: []string{"a:2379"}, Username: "host", PasswordFile: filepath.Join(dir, "none")},
			[]string{"password"}},
	} {
		_, err := New(c.cfg)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in:\n%v", c.name, want, err)
			}
		}
	}
}

func TestProgressFixed(t *testing.T) {
	for version, want := range map[string]bool{
		"3.4.23": false, "3.4.25": true, "3.5.7": false, "3.5.8": true, "3.6.0": true, "3.7.3": true, "4.0.0": true,
		"3.6.0-rc.1": true, "3.5.0-alpha": false, "": false, "3.7": false, "x.y.z": false, "2.3.8": false,
	} {
		if progressFixed(version) != want {
			t.Errorf("version %q: %v", version, !want)
		}
	}
}
