// Package configs_test reads every example as the programs would.
package configs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/authz"

	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// read returns the files that match pattern, by path; there must be some.
func read(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: no files (%v)", pattern, err)
	}
	files := make(map[string][]byte)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = data
	}
	return files
}

func TestDaemonExamples(t *testing.T) {
	for path, data := range read(t, "examples/daemon/*.yaml") {
		if !strings.Contains(string(data), "\nnode:") { // else the host's name is taken, whatever it is
			data = append(data, "node: {name: n1}\n"...)
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			cfg, err := config.Parse(path, data)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Store.Mode != config.Etcd {
				t.Errorf("store mode %s: the endpoints were lost", cfg.Store.Mode)
			}
		})
	}
}

func TestManifestExamples(t *testing.T) {
	for path, data := range read(t, "examples/manifests/*.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			manifests, err := resource.ReadManifests(path, data)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range manifests {
				resource.Canonicalize(m.Message)
				if _, err := resource.Check(m.Message); err != nil {
					t.Errorf("%s: %v", m.Source, err)
				}
				for _, w := range m.Warnings {
					t.Errorf("%s: %s", m.Source, w)
				}
			}
		})
	}
}

func TestAPIPolicyExample(t *testing.T) {
	for path, data := range read(t, "examples/*.json") {
		if !json.Valid(data) {
			t.Errorf("%s: not JSON", path)
		}
		if _, err := authz.NewStatic(string(data)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The names that iproute2 shows are those of the default numbers.
func TestRouteProtocolNames(t *testing.T) {
	cfg, err := config.Parse("defaults", []byte("node: {name: n1}"))
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.FIB.Protocols
	want := map[string]uint8{
		"vrouter-workload": p.Workload, "vrouter-overlay": p.Overlay,
		"vrouter-bgp": p.BGP, "vrouter-blackhole": p.Blackhole,
	}
	const path = "rt_protos.d/vrouter.conf"
	for line := range strings.Lines(string(read(t, path)[path])) {
		text, _, _ := strings.Cut(line, "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		number, err := strconv.ParseUint(fields[0], 10, 8)
		if err != nil || len(fields) != 2 || want[fields[1]] != uint8(number) {
			t.Errorf("%s: %q", path, line)
		}
		delete(want, fields[1])
	}
	if len(want) > 0 {
		t.Errorf("%s lacks %v", path, want)
	}
}
