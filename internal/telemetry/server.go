package telemetry

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// requestTime is what a client has for its request.
	requestTime = 5 * time.Second

	// answerTime is what an answer may take; a CPU profile runs for 30 s when
	// its length is not given, and pprof refuses one that is longer than this.
	answerTime = 2 * time.Minute

	// checkTime is what all checks of liveness may take together.
	checkTime = 2 * time.Second

	// closeTime is what requests may still take when the server stops.
	closeTime = time.Second
)

// ServerOptions is what a Server needs.
type ServerOptions struct {
	Listen   string // HOST:PORT; empty: nothing is served
	Pprof    bool   // serve Go's profiles under /debug/pprof/
	Gatherer prometheus.Gatherer
	Health   *Health
	Logger   hclog.Logger
}

// Server is the task that serves /metrics, /healthz and /readyz over HTTP.
type Server struct {
	opts  ServerOptions
	ready chan struct{} // closed once addr is set
	addr  net.Addr
}

// NewServer returns a Server that does nothing until Run.
func NewServer(opts ServerOptions) *Server {
	return &Server{opts: opts, ready: make(chan struct{})}
}

// Name returns the name of the task.
func (s *Server) Name() string { return "telemetry" }

// Ready is closed when the server accepts connections, or has nowhere to.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr returns where the server listens, once it is ready; nil for nowhere.
func (s *Server) Addr() net.Addr { return s.addr }

// Run serves until ctx ends. An address that cannot be had is an error.
func (s *Server) Run(ctx context.Context) error {
	if s.opts.Listen == "" {
		close(s.ready)
		<-ctx.Done()
		return nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.opts.Listen)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("listen for metrics on %s: %w", s.opts.Listen, err)
	}
	s.addr = listener.Addr()
	close(s.ready)
	s.opts.Logger.Info("serving metrics and health", "address", s.addr, "pprof", s.opts.Pprof)

	server := &http.Server{
		Handler:     s.routes(),
		ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: answerTime,
		ErrorLog: s.opts.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	var failed error // set once served is closed
	served := make(chan struct{})
	go func() {
		defer close(served)
		failed = server.Serve(listener)
	}()
	select {
	case <-served:
		return fmt.Errorf("serve metrics on %s: %w", s.addr, failed)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if server.Shutdown(closing) != nil {
		_ = server.Close() // a profile that runs for longer is cut
	}
	<-served // http.ErrServerClosed, or too late to matter
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{
		ErrorLog:      s.opts.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}),
		ErrorHandling: promhttp.ContinueOnError, // one bad collector must not hide the others
	}))
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	if s.opts.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// readyz answers 200 when every condition holds and 503 otherwise, and lists
// them all.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	ready, conditions := s.opts.Health.Ready()
	var lines []string
	for _, c := range conditions {
		lines = append(lines, c.String())
	}
	answer(w, ready, map[bool]string{true: "ready", false: "not ready"}[ready], lines)
}

// healthz answers 200 when every check of liveness passes and 503 otherwise,
// and lists what does not.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTime)
	defer cancel()
	faults := s.opts.Health.Live(ctx)
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		lines = append(lines, name+": "+oneLine(faults[name].Error()))
	}
	ok := len(faults) == 0
	answer(w, ok, map[bool]string{true: "healthy", false: "not healthy"}[ok], lines)
}

func answer(w http.ResponseWriter, ok bool, heading string, lines []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, heading+"\n")
	for _, line := range lines {
		_, _ = io.WriteString(w, line+"\n")
	}
}
