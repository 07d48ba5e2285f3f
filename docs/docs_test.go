// Package docs_test holds what the documents refer to against the code: files
// and functions, tests, links, keys of the configuration and metrics. It says
// nothing of whether what they tell is true.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = ".."

// documents returns the text of every document, by path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			all[strings.TrimPrefix(path, root+"/")] = read(t, path)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d documents", len(all))
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sources returns the text of all Go files whose name ends so. What belongs to
// Git is left out: it comes and goes by itself.
func sources(t *testing.T, suffix string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, suffix):
			b.WriteString(read(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReferencesToCode(t *testing.T) {
	reference := regexp.MustCompile("`((?:cmd|bgp|fib|internal|integration|proto|configs)/[a-zA-Z0-9_/.-]+)(?::([A-Za-z]+))?`")
	for doc, text := range documents(t) {
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			path := filepath.Join(root, m[1])
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s does not exist", doc, m[1])
				continue
			}
			if m[2] == "" {
				continue
			}
			declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type )` + m[2] + `\b`)
			if !declared.MatchString(read(t, path)) {
				t.Errorf("%s: %s declares no %s", doc, m[1], m[2])
			}
		}
	}
}

func TestNamedTestsExist(t *testing.T) {
	tests := sources(t, "_test.go")
	name := regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Z][A-Za-z0-9]*)`")
	for doc, text := range documents(t) {
		for _, m := range name.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(tests, "func "+m[1]+"(") {
				t.Errorf("%s: there is no %s", doc, m[1])
			}
		}
	}
}

func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	for doc, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s: link to %s leads nowhere", doc, m[1])
			}
		}
	}
}

// Every key of the configuration file is described, and no other.
func TestConfigurationKeys(t *testing.T) {
	raw := read(t, filepath.Join(root, "internal/config/raw.go"))
	described := read(t, "configuration.md")
	keys := regexp.MustCompile("yaml:\"([a-zA-Z0-9]+)\"").FindAllStringSubmatch(raw, -1)
	for _, m := range keys {
		if !regexp.MustCompile("`([a-zA-Z.\\[\\]]*\\.)?" + m[1] + "[`.[]").MatchString(described) {
			t.Errorf("configuration.md lacks %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9.\\[\\]]+)`").FindAllStringSubmatch(described, -1) {
		last := m[1][strings.LastIndex(m[1], ".")+1:]
		if !strings.Contains(raw, `yaml:"`+last+`"`) {
			t.Errorf("configuration.md describes %s, which there is not", m[1])
		}
	}
}

// Every metric of ours is described, and no other.
func TestMetrics(t *testing.T) {
	code := ""
	for _, file := range []string{"internal/agent/metrics.go", "internal/agent/bgpmetrics.go", "internal/agent/policymetrics.go", "internal/telemetry/health.go", "internal/controller/metrics.go"} {
		code += read(t, filepath.Join(root, file))
	}
	described := read(t, "operating.md")
	exported := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?:desc|gauge|counter)\("([a-z_]+)"|NewDesc\("vrouter_([a-z_]+)"`).FindAllStringSubmatch(code, -1) {
		exported["vrouter_"+m[1]+m[2]] = true
	}
	for name := range exported {
		if !strings.Contains(described, "`"+name) {
			t.Errorf("operating.md lacks %s", name)
		}
	}
	for _, m := range regexp.MustCompile("`(vrouter_[a-z_]+)").FindAllStringSubmatch(described, -1) {
		if !exported[m[1]] {
			t.Errorf("operating.md describes %s, which there is not", m[1])
		}
	}
}
