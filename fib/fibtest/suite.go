package fibtest

import (
	"context"
	"iter"
	"maps"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/fib"
)

// patience bounds the wait for a state that must come.
const patience = 20 * time.Second

const mainTableID = fib.DefaultTable

// fixture is a table over a host with two uplinks, up0 and up1.
type fixture struct {
	t     *testing.T
	host  *counter
	table *fib.Table
	opts  fib.Options
	stop  func()
}

// counter counts the changes that a table asks for.
type counter struct {
	Host
	writes atomic.Int64
}

func (c *counter) Apply(ctx context.Context, changes []fib.Change) []error {
	c.writes.Add(int64(len(changes)))
	return c.Host.Apply(ctx, changes)
}

func newFixture(t *testing.T, newHost func(*testing.T) Host, plain bool) *fixture {
	t.Helper()
	f := &fixture{t: t, host: &counter{Host: newHost(t)}}
	f.opts = fib.Options{PlainOnly: plain, ReadBack: -1, Logger: hclog.New(&hclog.LoggerOptions{
		Output: t.Output(), Level: hclog.Debug, Name: "fib", DisableTime: true,
	})}
	for _, name := range []string{"up0", "up1", "w0"} {
		f.host.AddLink(name)
	}
	f.host.AddAddress("up0", pfx("192.168.0.1/24"))
	f.host.AddAddress("up0", pfx("fd00::1/64"))
	f.host.AddAddress("up1", pfx("172.20.0.1/24"))
	f.host.AddAddress("up1", pfx("fd20::1/64"))
	t.Cleanup(func() {
		if f.stop != nil {
			f.stop()
		}
	})
	return f
}

// start runs a new table over the host: at first, and as a restart does.
func (f *fixture) start() {
	f.t.Helper()
	if f.stop != nil {
		f.stop()
	}
	f.table = fib.New(f.host, f.opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	table := f.table
	go func() { done <- table.Run(ctx) }()
	f.stop = func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
		f.stop = nil
	}
	select {
	case <-f.table.Ready():
	case <-time.After(patience):
		f.t.Fatal("the table never became ready")
	}
}

// done opens the sweeps of all sources.
func (f *fixture) done() {
	for _, s := range fib.Sources() {
		f.table.Done(s)
	}
}

func (f *fixture) text() string {
	f.t.Helper()
	text, err := Text(f.t.Context(), f.host, mainTableID)
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// await waits until the kernel holds want, one line each; without next-hop
// objects what a group(…) says stands plainly.
func (f *fixture) await(what string, want ...string) {
	f.t.Helper()
	text := lines(want...)
	if f.opts.PlainOnly {
		text = strings.NewReplacer("group(", "", ")", "").Replace(text)
	}
	f.until(what, func() string { return cmp.Diff(text, f.text()) })
}

// until waits until problem returns nothing.
func (f *fixture) until(what string, problem func() string) {
	f.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		p := problem()
		if p == "" {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s (-want +got):\n%s", what, p)
		}
		time.Sleep(time.Millisecond)
	}
}

// settled waits until every prefix of the table has the programmed state that
// want says, and the problem that it says, by a part of its text.
func (f *fixture) settled(prefix string, programmed bool, source fib.Source, problem string) {
	f.t.Helper()
	f.until("status of "+prefix, func() string {
		s := f.table.Get(pfx(prefix))
		text := ""
		if s.Err != nil {
			text = s.Err.Error()
		}
		if s.Programmed == programmed && s.Source == source && (text == "") == (problem == "") && strings.Contains(text, problem) {
			return ""
		}
		return cmp.Diff([]any{programmed, source.String(), problem}, []any{s.Programmed, s.Source.String(), text})
	})
}

func lines(l ...string) string { return strings.Join(append(l, ""), "\n") }

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func via(gateway, dev string) fib.NextHop {
	h := fib.NextHop{Interface: dev}
	if gateway != "" {
		h.Gateway = netip.MustParseAddr(gateway)
	}
	return h
}

func dev(name string) fib.Route {
	return fib.Route{NextHops: []fib.NextHop{{Interface: name}}}
}

func group(key fib.GroupKey) fib.Route { return fib.Route{Group: key} }

func all(m map[string]fib.Route) iter.Seq2[netip.Prefix, fib.Route] {
	out := make(map[netip.Prefix]fib.Route)
	for p, r := range m {
		out[pfx(p)] = r
	}
	return maps.All(out)
}
