package server

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (r *rig) routes(req *vrouterv1.ListRoutesRequest) (string, error) {
	stream, err := r.nodes.ListRoutes(r.t.Context(), req)
	if err != nil {
		return "", err
	}
	var lines []string
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return strings.Join(lines, " "), nil
		}
		if err != nil {
			return "", err
		}
		for _, route := range resp.Routes {
			lines = append(lines, route.Prefix+"@"+route.Source)
		}
	}
}

func TestOwnNode(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"", "host1"} {
		st, err := r.nodes.GetStatus(t.Context(), &vrouterv1.GetStatusRequest{Node: name})
		if err != nil || st.Node != "host1" {
			t.Errorf("status of %q: %v, %v", name, st, err)
		}
	}
	got, err := r.routes(&vrouterv1.ListRoutesRequest{})
	if err != nil || got != "10.0.0.0/24@host1 10.0.1.0/24@host1 10.0.2.0/24@host1" {
		t.Errorf("routes: %s, %v", got, err)
	}
	_, err = r.routes(&vrouterv1.ListRoutesRequest{Prefix: "10.0.0.0/33"})
	wantPaths(t, err, "prefix")
	level := func(subsystem, level string) error {
		_, err := r.nodes.SetLogLevel(t.Context(), &vrouterv1.SetLogLevelRequest{Subsystem: subsystem, Level: level})
		return err
	}
	if err := level("bgp", "debug"); err != nil || strings.Join(r.local.levels, " ") != "bgp=debug" {
		t.Errorf("levels set: %q, %v", r.local.levels, err)
	}
	wantPaths(t, level("bgp", "loud"), "level")
	wantPaths(t, level("nosuch", "info"), "subsystem")
}

// publish says that a node lives, as its daemon would.
func (r *rig) publish(node, address string) {
	r.t.Helper()
	op := store.Op{Key: store.LiveKey("agent", node), Value: fmt.Appendf(nil, `{"apiAddress":%q,"version":"1"}`, address)}
	if _, err := r.store.Txn(r.t.Context(), nil, []store.Op{op}); err != nil {
		r.t.Fatal(err)
	}
}

func TestOtherNodeThatCannotBeAsked(t *testing.T) {
	r := newRig(t)
	r.publish("silent", "")
	r.publish("host2", "127.0.0.1:1")
	for node, want := range map[string]string{
		"gone":   "NOT_ALIVE",
		"silent": "NO_API_ADDRESS",
		"host2":  "NO_CERTIFICATE",
	} {
		_, err := r.nodes.GetStatus(t.Context(), &vrouterv1.GetStatusRequest{Node: node})
		f := detail[*errdetails.PreconditionFailure](t, wantCode(t, err, codes.FailedPrecondition))
		if f.Violations[0].Type != want {
			t.Errorf("node %s: %v", node, err)
		}
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), proxiedBy, "host3")
	_, err := r.nodes.GetStatus(ctx, &vrouterv1.GetStatusRequest{Node: "host2"})
	f := detail[*errdetails.PreconditionFailure](t, wantCode(t, err, codes.FailedPrecondition))
	if f.Violations[0].Type != "PROXY_LOOP" {
		t.Errorf("a call passed on twice: %v", err)
	}
}

func TestOtherNodeIsAsked(t *testing.T) {
	ca := newCA(t, "ca")
	r := newRig(t, func(o *Options) { o.TCP = ca.tcp(t, "host1") })
	other := start(t, Options{Store: r.store, Local: &fakeLocal{node: "host2"}, NodeName: "host2",
		Logger: r.api.opts.Logger, TCP: ca.tcp(t, "host2")})
	r.publish("host2", other.TCPAddr().String())
	st, err := r.nodes.GetStatus(t.Context(), &vrouterv1.GetStatusRequest{Node: "host2"})
	if err != nil || st.Node != "host2" {
		t.Errorf("status: %v, %v", st, err)
	}
	got, err := r.routes(&vrouterv1.ListRoutesRequest{Node: "host2"})
	if err != nil || got != "10.0.0.0/24@host2 10.0.1.0/24@host2 10.0.2.0/24@host2" {
		t.Errorf("routes: %s, %v", got, err)
	}
	_, err = r.nodes.SetLogLevel(t.Context(), &vrouterv1.SetLogLevelRequest{Node: "host2", Subsystem: "nosuch", Level: "info"})
	wantPaths(t, err, "subsystem") // its error comes back whole
	adopted, err := r.nodes.AdoptCluster(t.Context(), &vrouterv1.AdoptClusterRequest{Node: "host2"})
	if err != nil || adopted.ClusterGuid != "host2" {
		t.Errorf("adopted: %v, %v", adopted, err)
	}
	r.publish("host3", other.TCPAddr().String()) // wrongly: it is host2 that answers there
	_, err = r.nodes.GetStatus(t.Context(), &vrouterv1.GetStatusRequest{Node: "host3"})
	wantCode(t, err, codes.FailedPrecondition)
}
