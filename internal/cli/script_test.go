package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("update", false, "rewrite the expected output in testdata")

// result is what a run left behind.
type result struct {
	code     int
	out, err string
	both     string // as a terminal would show it, with lines of err marked "! "
}

// run executes a command line against f.
func (f *fake) run(args ...string) result { return f.runWith(IO{}, args...) }

// runWith is run with the given In, terminal and environment.
func (f *fake) runWith(io IO, args ...string) result {
	f.t.Helper()
	var out, errOut, both bytes.Buffer
	if io.In == nil {
		io.In = strings.NewReader("")
	}
	if io.Getenv == nil {
		io.Getenv = func(string) string { return "" }
	}
	io.Out = tee{&out, &both, ""}
	io.Err = tee{&errOut, &both, "! "}
	io.Now = now
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	if f.path != "" && !strings.Contains(strings.Join(args, " "), "--server") {
		args = append([]string{"--server", f.path}, args...)
	}
	code := Run(ctx, io, args)
	tidy := func(b *bytes.Buffer) string {
		if f.path == "" {
			return b.String()
		}
		return strings.ReplaceAll(b.String(), f.path, "/run/vrouter/vrouterd.sock")
	}
	return result{code, tidy(&out), tidy(&errOut), tidy(&both)}
}

// tee writes to its own buffer and, with every line marked, to the common one.
type tee struct {
	own, common *bytes.Buffer
	mark        string
}

func (w tee) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if n := w.common.Len(); n == 0 || w.common.Bytes()[n-1] == '\n' {
			w.common.WriteString(w.mark)
		}
		w.common.Write(line)
	}
	return w.own.Write(p)
}

// TestScripts runs testdata/*.script: lines "$ ARGUMENTS [<FILE]" with what the
// command prints (standard error marked "! ") and its exit code, unless zero,
// below. Lines that begin with # are remarks.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.script")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".script"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f := newFake(t)
			f.status, f.routes = busyNode(), someRoutes()
			f.rib, f.groups = ribRoutes(), busyReflector()
			got := runScript(t, f, string(data))
			if *rewrite {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(data), got); diff != "" {
				t.Errorf("%s (-want +got, -update rewrites):\n%s", path, diff)
			}
		})
	}
}

// runScript returns the script with what its commands print now.
func runScript(t *testing.T, f *fake, script string) string {
	var got strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "#") {
			if got.Len() > 0 {
				got.WriteByte('\n')
			}
			got.WriteString(line)
			continue
		}
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue // what was printed before
		}
		got.WriteString(line)
		args, input := splitArgs(t, strings.TrimSpace(command))
		var io IO
		if input != "" {
			file, err := os.Open(input)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			io.In = file
		}
		r := f.runWith(io, args...)
		got.WriteString(r.both)
		if r.code != 0 {
			fmt.Fprintf(&got, "[exit %d]\n", r.code)
		}
		for line := range strings.Lines(r.out) {
			if text := strings.TrimRight(line, "\n"); text != strings.TrimRight(text, " ") {
				t.Errorf("%s: trailing blanks in %q", command, line)
			}
		}
	}
	return got.String()
}

// splitArgs splits at blanks outside single quotes, and takes "<FILE" out.
func splitArgs(t *testing.T, command string) (args []string, input string) {
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		for _, word := range strings.Fields(part) {
			if file, ok := strings.CutPrefix(word, "<"); ok {
				input = file
				continue
			}
			args = append(args, word)
		}
	}
	if strings.Count(command, "'")%2 == 1 {
		t.Fatalf("%s: a quote is open", command)
	}
	return args, input
}
