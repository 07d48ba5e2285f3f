package server

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func TestOptionsAreChecked(t *testing.T) {
	_, err := New(Options{TCP: TCP{Listen: ":1"}})
	for _, want := range []string{"no store", "no local node", "no node name", "no logger", "without CA"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no complaint about %q in: %v", want, err)
		}
	}
}

func TestHealthFollowsReadiness(t *testing.T) {
	r := newRig(t)
	c := healthv1.NewHealthClient(dial(t, r.api.opts.Socket.Path))
	for i, ready := range []bool{false, true, false} {
		if i > 0 { // before it is told anything it is not ready
			r.api.SetReady(ready)
		}
		for _, service := range []string{"", "vrouter.v1.EndpointService"} {
			resp, err := c.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || (resp.Status == healthv1.HealthCheckResponse_SERVING) != ready {
				t.Errorf("health of %q: %v, %v; wanted %v", service, resp, err, ready)
			}
		}
	}
}

func TestReflection(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := reflectionv1.NewServerReflectionClient(dial(t, r.api.opts.Socket.Path)).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil || !strings.Contains(resp.String(), "vrouter.v1.NodeService") {
		t.Errorf("reflection: %v, %v", resp, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

func TestOversizedMessage(t *testing.T) {
	r := newRig(t)
	req := registration("a", "10.0.0.1")
	req.Annotations = map[string]string{"a": strings.Repeat("x", maxMessage)}
	_, err := r.endpoints.Register(t.Context(), req)
	wantCode(t, err, codes.ResourceExhausted)
	if err := r.ask(t); err != nil {
		t.Errorf("the call after it: %v", err)
	}
}

func TestPanicCostsOneCall(t *testing.T) {
	var log strings.Builder
	r := newRig(t, func(o *Options) {
		o.Logger = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Error})
	})
	_, err := r.routes(&vrouterv1.ListRoutesRequest{Prefix: "10.0.0.1"})
	wantCode(t, err, codes.Internal)
	if err := r.ask(t); err != nil {
		t.Errorf("the call after it: %v", err)
	}
	if !strings.Contains(log.String(), "a route that nobody expects") {
		t.Errorf("the log says nothing of it: %s", log.String())
	}
}

// Watches and waits do not hold up a stop; their callers are told to come back.
func TestStopEndsWatchesAndWaits(t *testing.T) {
	s := store.NewMemory()
	opts := Options{Store: s, Local: &fakeLocal{}, NodeName: "host1",
		Logger: hclog.NewNullLogger(), Socket: Socket{Path: filepath.Join(t.TempDir(), "s")}}
	api, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx) }()
	<-api.Ready()
	c := clientsOf(dial(t, opts.Socket.Path))
	watch, err := c.resources.Watch(t.Context(), &vrouterv1.WatchRequest{Kinds: []string{"WorkloadEndpoint"}})
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := c.endpoints.Register(t.Context(), waiting("a", "", vrouterv1.Stage_STAGE_PROGRAMMED))
		waited <- err
	}()
	for seen := false; !seen; { // the registration is stored: the wait has begun, or is about to
		resp, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		seen = resp.GetPut() != nil
	}
	stop()
	detail[*errdetails.RetryInfo](t, wantCode(t, <-waited, codes.Unavailable))
	for err = nil; err == nil; {
		_, err = watch.Recv()
	}
	wantCode(t, err, codes.Unavailable)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
