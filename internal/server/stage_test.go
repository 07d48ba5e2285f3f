package server

import (
	"context"
	"net"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// bubble runs a test in virtual time, with a server behind a connection in
// memory. Every goroutine ends before the bubble does.
func bubble(t *testing.T, test func(r *rig, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, store: store.NewMemory(), local: &fakeLocal{node: "host1"}}
		s, err := New(Options{Store: r.store, Local: r.local, NodeName: "host1",
			Logger: hclog.NewNullLogger(), Socket: Socket{Path: "unused"}})
		if err != nil {
			t.Fatal(err)
		}
		stopping := make(chan struct{})
		g := s.build(s.services(nil, stopping), stopping)
		l := bufconn.Listen(1 << 16)
		served := make(chan error, 1)
		go func() { served <- g.Serve(l) }()
		c, err := grpc.NewClient("passthrough:///memory",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		r.clients = clientsOf(c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		test(r, ctx)
		_ = c.Close()
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// report writes a status as the agent of another host would.
func (r *rig) report(workload string, st *vrouterv1.WorkloadEndpointStatus) {
	r.t.Helper()
	value, err := proto.Marshal(st)
	if err != nil {
		r.t.Fatal(err)
	}
	key := statusKey(idOf(r.t, endpointOf(workload)))
	if _, err := r.store.Txn(r.t.Context(), nil, []store.Op{{Key: key, Value: value}}); err != nil {
		r.t.Fatal(err)
	}
}

func waiting(workload, node string, stage vrouterv1.Stage) *vrouterv1.RegisterRequest {
	req := registration(workload, "10.0.0.1")
	req.Node, req.Wait = node, stage
	return req
}

func TestWaitForALocalEndpoint(t *testing.T) {
	bubble(t, func(r *rig, ctx context.Context) {
		go func() {
			time.Sleep(3 * time.Second)
			r.local.set("default/vms/a/eth0", vrouterv1.Stage_STAGE_PROGRAMMED)
		}()
		start := time.Now()
		resp, err := r.endpoints.Register(ctx, waiting("a", "", vrouterv1.Stage_STAGE_PROGRAMMED))
		if err != nil {
			r.t.Fatal(err)
		}
		if resp.Stage != vrouterv1.Stage_STAGE_PROGRAMMED || !resp.Created || time.Since(start) != 3*time.Second {
			r.t.Errorf("after %v: %v", time.Since(start), resp)
		}
	})
}

// The status of an older spec, of which there is one after a move, ends no wait.
func TestWaitForARemoteEndpoint(t *testing.T) {
	bubble(t, func(r *rig, ctx context.Context) {
		first := r.register(registration("a", "10.0.0.1"))
		old := first.Endpoint.Metadata.ResourceVersion
		r.report("a", &vrouterv1.WorkloadEndpointStatus{ProgrammedRevision: old, AdvertisedRevision: old})
		at := func(after time.Duration, advertised bool) {
			time.Sleep(after)
			rev := proto.String(strconv.FormatInt(r.specRevision("a"), 10))
			st := &vrouterv1.WorkloadEndpointStatus{ProgrammedRevision: rev, AdvertisedRevision: old}
			if advertised {
				st.AdvertisedRevision = rev
			}
			r.report("a", st)
		}
		go func() {
			at(time.Second, false)
			at(time.Second, true)
		}()
		start := time.Now()
		resp, err := r.endpoints.Register(ctx, waiting("a", "host2", vrouterv1.Stage_STAGE_ADVERTISED))
		if err != nil {
			r.t.Fatal(err)
		}
		if resp.Stage != vrouterv1.Stage_STAGE_ADVERTISED || time.Since(start) != 2*time.Second {
			r.t.Errorf("after %v: %v", time.Since(start), resp)
		}
		again := r.register(waiting("a", "host2", vrouterv1.Stage_STAGE_UNSPECIFIED))
		if again.Stage != vrouterv1.Stage_STAGE_ADVERTISED {
			r.t.Errorf("stage of an unchanged registration is %s", again.Stage)
		}
	})
}

func (r *rig) specRevision(workload string) int64 {
	kv, _, err := r.store.Get(context.Background(), resourceKey(idOf(r.t, endpointOf(workload))))
	if err != nil {
		r.t.Error(err)
	}
	return kv.ModRevision
}

func TestWaitUntilTheDeadline(t *testing.T) {
	for _, c := range []struct{ name, node, problem string }{
		{"local", "host1", "interface is missing"},
		{"remote", "host2", "no carrier"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(r *rig, _ context.Context) {
				ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
				defer cancel()
				r.local.set("default/vms/a/eth0", vrouterv1.Stage_STAGE_PROGRAMMED)
				go func() {
					time.Sleep(time.Second)
					rev := proto.String(strconv.FormatInt(r.specRevision("a"), 10))
					r.report("a", &vrouterv1.WorkloadEndpointStatus{ProgrammedRevision: rev, Problems: []string{c.problem}})
				}()
				_, err := r.endpoints.Register(ctx, waiting("a", c.node, vrouterv1.Stage_STAGE_ADVERTISED))
				info := detail[*errdetails.ErrorInfo](r.t, wantCode(r.t, err, codes.DeadlineExceeded))
				if info.Reason != "STAGE" || info.Metadata["stage"] != "PROGRAMMED" || info.Metadata["problems"] != c.problem {
					r.t.Errorf("details: %v", info)
				}
				if r.specRevision("a") == 0 {
					r.t.Error("the registration is gone")
				}
			})
		})
	}
}

func TestWaitEndsWhenTheEndpointIsRemoved(t *testing.T) {
	bubble(t, func(r *rig, ctx context.Context) {
		go func() {
			time.Sleep(time.Second)
			_, err := r.endpoints.Unregister(ctx, &vrouterv1.UnregisterRequest{Id: endpointOf("a")})
			if err != nil {
				r.t.Error(err)
			}
		}()
		_, err := r.endpoints.Register(ctx, waiting("a", "host2", vrouterv1.Stage_STAGE_PROGRAMMED))
		wantCode(r.t, err, codes.FailedPrecondition)
	})
}

// While the store is away a call waits for nothing: the caller is told when to
// come again.
func TestStoreAway(t *testing.T) {
	bubble(t, func(r *rig, ctx context.Context) {
		r.store.Disconnect()
		_, err := r.endpoints.Register(ctx, registration("a", "10.0.0.1"))
		st := wantCode(r.t, err, codes.Unavailable)
		if detail[*errdetails.RetryInfo](r.t, st).RetryDelay.AsDuration() <= 0 {
			r.t.Error("no delay before the next try")
		}
		r.store.Reconnect()
		r.register(registration("a", "10.0.0.1"))
	})
}
