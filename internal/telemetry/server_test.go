package telemetry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/internal/telemetry"
)

// start runs a server on a free port of 127.0.0.1 until the test ends.
func start(t *testing.T, opts telemetry.ServerOptions) *telemetry.Server {
	t.Helper()
	opts.Listen, opts.Logger = "127.0.0.1:0", hclog.NewNullLogger()
	s := telemetry.NewServer(opts)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ends with %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return s
}

// get returns the status and the body of an answer.
func get(t *testing.T, s *telemetry.Server, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

type answer struct {
	Status int
	Body   string
}

func TestReadyz(t *testing.T) {
	h := telemetry.NewHealth("store", "synced")
	s := start(t, telemetry.ServerOptions{Gatherer: prometheus.NewRegistry(), Health: h})
	for _, step := range []struct {
		set  func()
		want answer
	}{
		{func() {}, answer{503, "not ready\nstore: not ready: not reported yet\nsynced: not ready: not reported yet\n"}},
		{func() { h.Set("store", false, "waiting for etcd at\nhttps://192.0.2.1:2379") },
			answer{503, "not ready\nstore: not ready: waiting for etcd at https://192.0.2.1:2379\nsynced: not ready: not reported yet\n"}},
		{func() { h.Set("store", true, "") }, answer{503, "not ready\nstore: ready\nsynced: not ready: not reported yet\n"}},
		{func() { h.Set("synced", true, "revision 7") }, answer{200, "ready\nstore: ready\nsynced: ready: revision 7\n"}},
		{func() { h.Set("extra", false, "") }, answer{503, "not ready\nextra: not ready\nstore: ready\nsynced: ready: revision 7\n"}},
	} {
		step.set()
		status, body := get(t, s, "/readyz")
		if diff := cmp.Diff(step.want, answer{status, body}); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if ready, _ := telemetry.NewHealth().Ready(); ready {
		t.Error("a daemon without conditions is ready")
	}
}

func TestHealthz(t *testing.T) {
	h := telemetry.NewHealth("store")
	s := start(t, telemetry.ServerOptions{Gatherer: prometheus.NewRegistry(), Health: h})
	if status, body := get(t, s, "/healthz"); status != 200 || body != "healthy\n" {
		t.Errorf("%d %q", status, body)
	}
	h.AddCheck("fib", func(context.Context) error { return nil })
	h.AddCheck("bgp", func(ctx context.Context) error {
		<-ctx.Done() // a check that hangs is cut off
		return errors.New("the loop has not turned")
	})
	if status, body := get(t, s, "/healthz"); status != 503 || body != "not healthy\nbgp: the loop has not turned\n" {
		t.Errorf("%d %q", status, body)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := telemetry.NewHealth("store", "synced")
	registry.MustRegister(h, broken{})
	h.Set("store", true, "")
	s := start(t, telemetry.ServerOptions{Gatherer: registry, Health: h})
	status, body := get(t, s, "/metrics")
	for _, line := range []string{`vrouter_ready_condition{condition="store"} 1`, `vrouter_ready_condition{condition="synced"} 0`} {
		if status != 200 || !strings.Contains(body, line+"\n") {
			t.Errorf("%d, no %s in\n%s", status, line, body)
		}
	}
}

// broken is a collector that fails; it must not hide the others.
type broken struct{}

func (broken) Describe(ch chan<- *prometheus.Desc) { ch <- brokenDesc() }
func (broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(brokenDesc(), errors.New("broken"))
}
func brokenDesc() *prometheus.Desc { return prometheus.NewDesc("broken", "It fails.", nil, nil) }

func TestPprof(t *testing.T) {
	for on, want := range map[bool]int{false: 404, true: 200} {
		s := start(t, telemetry.ServerOptions{Gatherer: prometheus.NewRegistry(), Health: telemetry.NewHealth(), Pprof: on})
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"} {
			if status, _ := get(t, s, path); status != want {
				t.Errorf("pprof %v: %s answers %d", on, path, status)
			}
		}
		if resp, err := http.Post("http://"+s.Addr().String()+"/readyz", "", nil); err != nil || resp.StatusCode != 405 {
			t.Errorf("POST: %v %v", resp, err)
		}
	}
}

func TestNowhere(t *testing.T) {
	s := telemetry.NewServer(telemetry.ServerOptions{Logger: hclog.NewNullLogger()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-s.Ready()
	if s.Addr() != nil {
		t.Errorf("it listens on %s", s.Addr())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAddressTaken(t *testing.T) {
	first := start(t, telemetry.ServerOptions{Gatherer: prometheus.NewRegistry(), Health: telemetry.NewHealth()})
	second := telemetry.NewServer(telemetry.ServerOptions{Listen: first.Addr().String(), Logger: hclog.NewNullLogger()})
	err := second.Run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "listen for metrics on 127.0.0.1:") {
		t.Errorf("error %v", err)
	}
}

// A request that takes long does not hold up the end of the daemon.
func TestStopDuringRequest(t *testing.T) {
	h := telemetry.NewHealth()
	begun := make(chan struct{})
	release := make(chan struct{})
	h.AddCheck("slow", func(context.Context) error { close(begun); <-release; return nil })
	t.Cleanup(func() { close(release) }) // after the server's
	s := start(t, telemetry.ServerOptions{Gatherer: prometheus.NewRegistry(), Health: h})
	go func() {
		if resp, err := http.Get("http://" + s.Addr().String() + "/healthz"); err == nil {
			resp.Body.Close()
		}
	}()
	<-begun // and the cleanup of start ends the server now
}
