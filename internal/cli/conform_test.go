package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/policy/policytest"
)

// TestConformanceProbes sends the probes of the conformance suite through
// `policy test`. Their site has a host between the others, so that a probe may
// pass a host of neither end: of such ones the command may know less. Where it
// says something, it is right.
func TestConformanceProbes(t *testing.T) {
	const testdata = "../../policy/policytest/testdata"
	archives, err := filepath.Glob(testdata + "/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	site, err := os.ReadFile(testdata + "/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	decided, all := 0, 0
	for _, archive := range archives {
		data, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		parts := archiveParts(string(data))
		for i := 0; i+1 < len(parts); i += 2 {
			name := strings.TrimSuffix(filepath.Base(archive), ".txtar") + "/" + strings.TrimSuffix(parts[i][0], ".yaml")
			for _, r := range testProbes(t, string(site), parts[i][1], parts[i+1][1]) {
				all++
				verdict := verdictOf(t, r)
				switch {
				case r.OK:
					decided++
				case verdict != "unknown" && !passesBy(t, r):
					t.Errorf("%s, line %d: %s: %s", name, r.Line, r.Probe, r.Explained)
				default:
					t.Logf("%s, line %d: %s: %s", name, r.Line, verdict, r.Probe)
				}
			}
		}
	}
	t.Logf("%d of %d probes decided as expected", decided, all)
	if decided*10 < all*8 {
		t.Errorf("%d of %d probes decided", decided, all)
	}
	if cases, err := policytest.Cases(); err != nil || len(cases) == 0 {
		t.Errorf("cases: %d, %v", len(cases), err)
	}
}

// archiveParts returns the names and contents of a txtar archive.
func archiveParts(data string) (parts [][2]string) {
	for line := range strings.Lines(data) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
		if name, ends := strings.CutSuffix(name, " --"); ok && ends {
			parts = append(parts, [2]string{name, ""})
		} else if len(parts) > 0 {
			parts[len(parts)-1][1] += line
		}
	}
	return parts
}

func testProbes(t *testing.T, site, manifests, probes string) []probeResult {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"0.yaml": site, "1.yaml": manifests, "probes": probes} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := &fake{t: t}
	r := f.run("policy", "test", "-f", dir, "--probes", filepath.Join(dir, "probes"), "-o", "json")
	if r.code > 1 {
		t.Fatal(r.err)
	}
	var list []probeResult
	for line := range strings.Lines(r.out) {
		var one probeResult
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return list
}

func verdictOf(t *testing.T, r probeResult) string {
	t.Helper()
	var explained struct{ Verdict string }
	if err := json.Unmarshal(r.Explained, &explained); err != nil {
		t.Fatalf("%s: %v", r.Explained, err)
	}
	return explained.Verdict
}

// passesBy tells whether a probe passes the host under test, h1, and neither end
// is there.
func passesBy(t *testing.T, r probeResult) bool {
	t.Helper()
	var explained struct{ Ends []struct{ Node string } }
	if err := json.Unmarshal(r.Explained, &explained); err != nil {
		t.Fatal(err)
	}
	for _, e := range explained.Ends {
		if e.Node == "h1" {
			return false
		}
	}
	return true
}
