package cli

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/server"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// host is what a node of the test does: nothing, and it says so.
// host answers for its node as the fake of the other tests does.
type host struct{ server.Local }

func (host) Status(context.Context) (*vrouterv1.GetStatusResponse, error) {
	s := proto.Clone(busyNode()).(*vrouterv1.GetStatusResponse)
	s.Node = "host1"
	return s, nil
}

func (host) Routes(_ context.Context, _ netip.Prefix, yield func([]*vrouterv1.Route) error) error {
	return yield(someRoutes())
}

func (host) Adopt(context.Context) (*vrouterv1.AdoptClusterResponse, error) {
	return &vrouterv1.AdoptClusterResponse{ClusterGuid: "b1a5"}, nil
}

func (host) SetLogLevel(string, string) error { return nil }

func (host) WaitStage(ctx context.Context, _ resource.EndpointID, _ int64, _ vrouterv1.Stage) (vrouterv1.Stage, []string, error) {
	<-ctx.Done()
	return vrouterv1.Stage_STAGE_REGISTERED, []string{"interface veth9 does not exist"}, ctx.Err()
}

// realServer runs the server of vrouterd on a store, until the test ends. What it
// returns runs commands against it.
func realServer(t *testing.T, db store.Store) *fake {
	t.Helper()
	path := filepath.Join(socketDir(t), "s")
	s, err := server.New(server.Options{
		Store: db, Local: host{}, NodeName: "host1", Logger: hclog.NewNullLogger(),
		Socket: server.Socket{Path: path},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-s.Ready()

	return &fake{t: t, path: path}
}

// TestRealServer runs the commands against the server of vrouterd, so that the
// one in memory of the other tests cannot grow apart from it. What it says in
// words is its own affair; exit codes and outcomes are not.
func TestRealServer(t *testing.T) {
	f := realServer(t, store.NewMemory())
	register := func(rest ...string) []string {
		return append([]string{"endpoint", "register", "prod/docker/web/eth0", "--interface", "veth9"}, rest...)
	}
	for _, step := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"get", "bgppeer", "tor1"}, ExitNotFound, ""},
		{[]string{"apply", "-f", "testdata/manifests/peers.yaml", "--dry-run"}, ExitOK, "bgppeer/tor1 created (dry run)\nbgppeer/tor2 created (dry run)\nbgppeer/reflectors created (dry run)\n"},
		{[]string{"apply", "-f", "testdata/manifests/peers.yaml"}, ExitOK, "bgppeer/tor1 created\nbgppeer/tor2 created\nbgppeer/reflectors created\n"},
		{[]string{"apply", "-f", "testdata/manifests/peers.yaml"}, ExitOK, "bgppeer/tor1 unchanged\nbgppeer/tor2 unchanged\nbgppeer/reflectors unchanged\n"},
		{[]string{"replace", "-f", "testdata/manifests/peers.yaml"}, ExitOK, "bgppeer/tor1 unchanged\nbgppeer/tor2 unchanged\nbgppeer/reflectors unchanged\n"},
		{[]string{"create", "-f", "testdata/manifests/peers.yaml"}, ExitFailed, ""},
		{[]string{"patch", "bgppeer", "tor1", "-p", "spec: {asNumber: 65009}"}, ExitOK, "bgppeer/tor1 configured\n"},
		{[]string{"patch", "bgppeer", "tor1", "-p", "spec: {peerIP: 10.0.0.300}"}, ExitFailed, ""},
		{[]string{"get", "bgppeers", "-l", "rack == \"1\""}, ExitOK, "NAME   PEERIP       NODE    ASN\ntor1   10.0.0.254   host1   65009\n"},
		{[]string{"delete", "bgppeers", "-l", "has(rack)"}, ExitOK, "bgppeer/tor1 deleted\nbgppeer/tor2 deleted\n"},
		{[]string{"apply", "-f", "testdata/manifests/bgp.yaml"}, ExitOK, "secret/bgp created\nbgpfilter/default-route created\nbgppeergroup/tors created\nbgppeer/rack1 created\n"},
		{[]string{"apply", "-f", "testdata/manifests/bgp.yaml"}, ExitOK, "secret/bgp unchanged\nbgpfilter/default-route unchanged\nbgppeergroup/tors unchanged\nbgppeer/rack1 unchanged\n"},
		{[]string{"get", "secrets"}, ExitOK, "NAME   KEYS\nbgp    spines,tors\n"},
		{[]string{"patch", "secret", "bgp", "-p", "metadata: {labels: {a: b}}"}, ExitFailed, ""},
		{[]string{"delete", "-f", "testdata/manifests/bgp.yaml"}, ExitOK, "bgppeer/rack1 deleted\nbgppeergroup/tors deleted\nbgpfilter/default-route deleted\nsecret/bgp deleted\n"},
		{[]string{"apply", "-f", "testdata/manifests/dir"}, ExitOK, "ippool/four created\nnode/host1 created\nnode/host2 created\nworkloadendpoint/prod/docker/web-1/eth0 created\n"},
		{register("--ip", "10.65.0.9"), ExitOK, "endpoint prod/docker/web/eth0 registered on node host1: registered\n"},
		{register("--ip", "10.65.0.12"), ExitFailed, ""}, // held by another
		{register("--ip", "10.65.0.9", "--wait", "programmed"), ExitDeadline, ""},
		{[]string{"get", "wep", "-A", "-o", "name"}, ExitOK, "workloadendpoint/prod/docker/web/eth0\nworkloadendpoint/prod/docker/web-1/eth0\n"},
		{[]string{"endpoint", "unregister", "prod/docker/web/eth0"}, ExitOK, "endpoint prod/docker/web/eth0 unregistered\n"},
		{[]string{"cluster", "adopt"}, ExitOK, "cluster b1a5 was known already: nothing to adopt\n"},
		{[]string{"delete", "-f", "testdata/manifests/dir"}, ExitOK, "workloadendpoint/prod/docker/web-1/eth0 deleted\nnode/host2 deleted\nnode/host1 deleted\nippool/four deleted\n"},
	} {
		var r result
		if slices.Contains(step.args, "--wait") {
			r, _ = f.connected(300*time.Millisecond, step.args...)
		} else {
			r = f.run(step.args...)
		}
		if r.code != step.code || r.out != step.out {
			t.Errorf("%q: exit code %d, want %d; got:\n%swant:\n%s", step.args, r.code, step.code, r.both, step.out)
		}
		if testing.Verbose() && r.err != "" {
			t.Logf("%q:\n%s", step.args, r.err)
		}
	}

	ipamSteps(t, f)

	w := f.watching("get", "ippools", "-w", "-o", "name")
	f.run("apply", "-f", "testdata/manifests/dir/20-pool.yaml").expect(t, ExitOK, "")
	w.out.until(t, "ippool/four ADDED\n")
	f.run("delete", "ippool", "four").expect(t, ExitOK, "")
	w.out.until(t, "ippool/four DELETED\n")
	w.stop()
}
