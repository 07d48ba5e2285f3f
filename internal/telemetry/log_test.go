package telemetry_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/telemetry"
)

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	root, levels := telemetry.NewLogger(telemetry.LogOptions{
		Level:  hclog.Info,
		Levels: map[string]hclog.Level{"bgp": hclog.Debug, "unused": hclog.Error},
		Output: &out,
	})
	loggers := map[string]hclog.Logger{
		"root": root,
		"bgp":  root.Named("bgp"),
		"peer": root.Named("bgp").Named("session").With("peer", "tor-a"),
		"dots": root.Named("bgp.engine"),
		"fib":  root.With("node", "n1").Named("fib"),
	}
	// who tells which of the loggers let a level through.
	who := func(level hclog.Level) string {
		var names []string
		for _, name := range []string{"root", "bgp", "peer", "dots", "fib"} {
			out.Reset()
			loggers[name].Log(level, "message")
			if out.Len() > 0 {
				names = append(names, name)
			}
		}
		return strings.Join(names, " ")
	}
	set := func(subsystem, level string) {
		t.Helper()
		if err := levels.Set(subsystem, level); err != nil {
			t.Fatal(err)
		}
	}
	want := func(level hclog.Level, names string) {
		t.Helper()
		if got := who(level); got != names {
			t.Errorf("%s is logged by %q, want %q", level, got, names)
		}
	}

	want(hclog.Debug, "bgp peer dots")
	want(hclog.Info, "root bgp peer dots fib")
	set("fib", "trace")
	want(hclog.Trace, "fib")
	set("bgp", "error")
	want(hclog.Warn, "root fib")
	if diff := cmp.Diff(map[string]hclog.Level{"": hclog.Info, "bgp": hclog.Error, "fib": hclog.Trace}, levels.All()); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
	set("", "WARN")
	want(hclog.Info, "")
	want(hclog.Warn, "root bgp peer dots fib")
	set("bgp", "off")
	want(hclog.Error, "root fib")

	if err := levels.Set("bpg", "debug"); err == nil || !strings.Contains(err.Error(), "there are bgp, fib") {
		t.Errorf("unknown subsystem: %v", err)
	}
	if err := levels.Set("bgp", "loud"); err == nil || !strings.Contains(err.Error(), `"loud" is none of`) {
		t.Errorf("unknown level: %v", err)
	}
}

func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	root, _ := telemetry.NewLogger(telemetry.LogOptions{JSON: true, Output: &out})
	root.With("node", "n1").Named("bgp").Named("peer").Info("established", "asn", 65000)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	delete(line, "@timestamp")
	want := map[string]any{"@level": "info", "@module": "bgp.peer", "@message": "established", "node": "n1", "asn": 65000.0}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	out.Reset()
	root, _ = telemetry.NewLogger(telemetry.LogOptions{Output: &out})
	root.Named("fib").ResetNamed("fib.rtnetlink").Warn("sync failed", "retry_in", "1s")
	if !strings.HasSuffix(out.String(), "[WARN]  fib.rtnetlink: sync failed: retry_in=1s\n") {
		t.Errorf("text line %q", out.String())
	}
}

func TestLevelsWhileLogging(t *testing.T) {
	root, levels := telemetry.NewLogger(telemetry.LogOptions{Output: &bytes.Buffer{}})
	log := root.Named("agent")
	done := make(chan struct{})
	for range 4 {
		go func() {
			for range 100 {
				log.Named("x").With("k", "v").Info("message")
				root.Named("fib").Debug("message")
			}
			done <- struct{}{}
		}()
	}
	for range 100 {
		if err := levels.Set("agent", "debug"); err != nil {
			t.Fatal(err)
		}
		if err := levels.Set("", "info"); err != nil {
			t.Fatal(err)
		}
		levels.All()
	}
	for range 4 {
		<-done
	}
}
