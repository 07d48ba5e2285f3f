package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestColour(t *testing.T) {
	f := newFake(t)
	f.status, f.routes = busyNode(), someRoutes()
	env := func(name, value string) func(string) string {
		return func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}
	}
	for _, tt := range []struct {
		name   string
		io     IO
		args   []string
		colour bool
	}{
		{"terminal", IO{OutWidth: 200}, nil, true},
		{"pipe", IO{}, nil, false},
		{"NO_COLOR", IO{OutWidth: 200, Getenv: env("NO_COLOR", "1")}, nil, false},
		{"dumb", IO{OutWidth: 200, Getenv: env("TERM", "dumb")}, nil, false},
		{"--no-color", IO{OutWidth: 200}, []string{"--no-color"}, false},
	} {
		r := f.runWith(tt.io, append([]string{"node", "status"}, tt.args...)...)
		if got := strings.Contains(r.out, "\x1b["); got != tt.colour {
			t.Errorf("%s: colour %t, want %t", tt.name, got, tt.colour)
		}
		if tt.colour && !strings.Contains(r.out, "\x1b[32mup\x1b[0m      11:26:00") {
			t.Errorf("%s: escapes disturb the columns:\n%q", tt.name, r.out)
		}
	}
	if r := f.runWith(IO{OutWidth: 200}, "routes", "-o", "json"); strings.Contains(r.out, "\x1b") {
		t.Error("JSON is coloured")
	}
	r := f.runWith(IO{ErrTerminal: true}, "node", "status", "host9")
	r.expect(t, ExitNotFound, "\x1b[31merror:\x1b[0m node host9 does not exist\n")
}

func TestNarrowTerminal(t *testing.T) {
	f := newFake(t)
	f.routes = someRoutes()
	f.routes[2].Problem = strings.Repeat("very long ", 30)
	r := f.runWith(IO{OutWidth: 140}, "routes", "--no-color")
	for line := range strings.Lines(r.out) {
		if n := utf8.RuneCountInString(line) - 1; n > 140 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(r.out, "…\n") {
		t.Errorf("nothing is cut:\n%s", r.out)
	}
	for _, wide := range []result{f.runWith(IO{OutWidth: 140}, "routes", "-o", "wide"), f.run("routes")} {
		if strings.Contains(wide.out, "…") {
			t.Error("text is cut where it must not be")
		}
	}
}

func TestProgress(t *testing.T) {
	f := newFake(t)
	dir := t.TempDir()
	for i := range 12 {
		manifest := fmt.Sprintf("{apiVersion: vrouter/v1, kind: IPPool, metadata: {name: p%d}, spec: {cidr: 10.%d.0.0/16}}\n", i, i)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.yaml", i)), []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := f.runWith(IO{ErrTerminal: true}, "apply", "-f", dir)
	if !strings.Contains(r.err, "\r\x1b[Kapply 7/12") || !strings.HasSuffix(r.err, "\r\x1b[K") {
		t.Errorf("no progress, or it is left on the screen: %q", r.err)
	}
	if r := f.runWith(IO{ErrTerminal: true}, "get", "ippools"); r.err != "" {
		t.Errorf("progress of little: %q", r.err)
	}
	f.routes = slices.Repeat(someRoutes(), 500)
	if r := f.runWith(IO{ErrTerminal: true}, "routes"); !strings.Contains(r.err, "read 1500") {
		t.Errorf("no progress of many routes: %q", r.err)
	}
	if r := f.run("apply", "-f", dir); r.err != "" {
		t.Errorf("progress without a terminal: %q", r.err)
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[31mb\tc\nd\u202ee ü"); got != "a�[31mb c d�e ü" {
		t.Errorf("got %q", got)
	}
}

func TestCompletion(t *testing.T) {
	f := newFake(t)
	f.run("apply", "-f", "testdata/manifests/peers.yaml").expect(t, ExitOK, "")
	f.run("apply", "-f", "testdata/manifests/dir").expect(t, ExitOK, "")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "bgpp"}, "bgppeer"},
		{[]string{"get", "bgppeer", ""}, "reflectors\ntor1\ntor2"},
		{[]string{"get", "wep", "-n", "prod", ""}, "docker/web-1/eth0"},
		{[]string{"node", "status", ""}, "host1\nhost2"},
		{[]string{"routes", "--node", ""}, "host1\nhost2"},
		{[]string{"get", "-o", ""}, "table\nwide\nyaml\njson\nname"},
		{[]string{"log-level", "bgp", "d"}, "debug"},
	} {
		r := f.run(append([]string{"__complete"}, tt.args...)...)
		if got := r.out[:strings.LastIndex(r.out, "\n:")]; !strings.Contains(got, tt.want) {
			t.Errorf("%q completes to %q, want %q", tt.args, got, tt.want)
		}
	}
	f.server.Stop()
	if r := f.run("__complete", "get", "bgppeer", ""); !strings.HasPrefix(r.out, ":") {
		t.Errorf("without a server it completes to %q", r.out)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := f.run("completion", shell); r.code != ExitOK || !strings.Contains(r.out, "vrouterctl") {
			t.Errorf("completion %s: exit code %d", shell, r.code)
		}
	}
}
