// Package fabric runs whole vrouter daemons in a lab: with an API client for
// each, workloads that are registered the way an orchestrator does it, and
// topologies with real routers in them. Tests and the demo stand on it; the
// daemons are the built programs, never code linked in.
package fabric

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Limit is how long a state may take to come about. It is generous: these
// machines are busy, and only a failure waits so long.
const Limit = 2 * time.Minute

var buildOnce = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("VROUTER_BIN"); dir != "" {
		return dir, nil
	}
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..")
	out := filepath.Join(root, "bin")
	cmd := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", out+"/", "./cmd/vrouterd", "./cmd/vrouterctl")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, text)
	}
	return out, nil
})

// Program returns the path of a built program: from VROUTER_BIN, or built now.
func Program(t lab.T, name string) string {
	t.Helper()
	dir, err := buildOnce()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return filepath.Join(dir, name)
}

// Settings is what a daemon's configuration file says, beyond where its files
// and its store are.
type Settings struct {
	Role      string // "agent" (default), "reflector" or "controller"
	Node      string // name of the node; the host's if empty
	IPv4      string // with prefix length
	IPv6      string
	ASNumber  uint32
	ClusterID string
	Labels    map[string]string
	Endpoints []string // of etcd; none: the embedded store
	Store     string   // YAML lines below store:
	API       string   // YAML lines below api:
	BGP       string   // YAML lines below bgp:
	Extra     string   // YAML lines at the top level
	Quiet     bool     // log at level info, for measuring
}

// redial is how a daemon that is down is looked for: often, since it is away for a
// moment only, and not without a pause, which would take a processor from it.
var redial = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 200 * time.Millisecond},
	MinConnectTimeout: time.Second,
}

// Daemon is a vrouterd in a host of the lab.
type Daemon struct {
	*lab.Host
	Settings  Settings
	Resources vrouterv1.ResourceServiceClient
	Endpoint  vrouterv1.EndpointServiceClient
	Nodes     vrouterv1.NodeServiceClient
	IPAM      vrouterv1.IPAMServiceClient

	t       lab.T
	process *lab.Process
	path    string // of the configuration file
}

// New starts a daemon in h. It does not wait for it to be ready.
func New(t lab.T, h *lab.Host, s Settings) *Daemon {
	t.Helper()
	d := &Daemon{Host: h, Settings: s, t: t}
	conn, err := grpc.NewClient("unix://"+d.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(redial))
	if err != nil {
		t.Fatalf("host %s: %v", h.Name(), err)
	}
	t.Cleanup(func() { conn.Close() })
	d.Resources = vrouterv1.NewResourceServiceClient(conn)
	d.Endpoint = vrouterv1.NewEndpointServiceClient(conn)
	d.Nodes = vrouterv1.NewNodeServiceClient(conn)
	d.IPAM = vrouterv1.NewIPAMServiceClient(conn)
	d.Configure(s)
	d.Start()
	return d
}

// Socket is the path of the daemon's API.
func (d *Daemon) Socket() string { return filepath.Join(d.Dir(), "vrouterd.sock") }

// Configure writes the configuration file that the next start reads.
func (d *Daemon) Configure(s Settings) {
	d.Settings = s
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("node:\n  name: %s", cmp.Or(s.Node, d.Name()))
	if s.IPv4 != "" {
		line("  ipv4Address: %s", s.IPv4)
	}
	if s.IPv6 != "" {
		line("  ipv6Address: %q", s.IPv6)
	}
	if s.ASNumber != 0 {
		line("  asNumber: %d", s.ASNumber)
	}
	if s.ClusterID != "" {
		line("  routeReflectorClusterID: %s", s.ClusterID)
	}
	if len(s.Labels) > 0 {
		line("  labels:")
		for k, v := range s.Labels {
			line("    %s: %q", k, v)
		}
	}
	line("store:\n  dataDir: %s\n  copyFile: %s", filepath.Join(d.Dir(), "etcd"), filepath.Join(d.Dir(), "state", "copy"))
	if len(s.Endpoints) > 0 {
		line("  endpoints:")
		for _, e := range s.Endpoints {
			line("  - %s", e)
		}
	}
	b.WriteString(s.Store)
	line("api:\n  socket: %s", d.Socket())
	b.WriteString(s.API)
	line("metrics:\n  listen: 127.0.0.1:9091\n  pprof: true")
	line("log:\n  level: %s", map[bool]string{false: "debug", true: "info"}[s.Quiet])
	if s.BGP != "" {
		line("bgp:\n%s", strings.TrimRight(s.BGP, "\n"))
	}
	b.WriteString(s.Extra)
	d.path = d.Lab().File(filepath.Join(d.Name(), "vrouterd.yaml"), b.String())
}

// Start starts the daemon, again after Kill or Stop.
func (d *Daemon) Start() {
	d.t.Helper()
	argv := []string{Program(d.t, "vrouterd")}
	if d.Settings.Role != "" {
		argv = append(argv, d.Settings.Role)
	}
	d.process = d.Host.Start("vrouterd", append(argv, "--config", d.path), lab.ProcessOptions{})
}

// Kill ends the daemon with SIGKILL.
func (d *Daemon) Kill() { d.process.Kill() }

// Stop ends the daemon as a service manager does, and waits for it.
func (d *Daemon) Stop() {
	d.t.Helper()
	if err := d.process.Stop(d.t.Context()); err != nil {
		d.t.Fatalf("host %s: stop vrouterd: %v", d.Name(), err)
	}
}

// Process is the running daemon.
func (d *Daemon) Process() *lab.Process { return d.process }

// Pause stops the daemon's process without ending it; Resume lets it go on.
func (d *Daemon) Pause() { _ = d.process.Signal(syscall.SIGSTOP) }

// Resume lets a paused daemon go on.
func (d *Daemon) Resume() { _ = d.process.Signal(syscall.SIGCONT) }

// WaitReady waits until the daemon says that it is ready.
func (d *Daemon) WaitReady() {
	d.t.Helper()
	lab.Eventually(d.t, Limit, d.Name()+" is ready", func() error {
		if !d.process.Running() {
			d.t.Fatalf("host %s: vrouterd has ended: %v", d.Name(), d.process.Wait())
		}
		ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Second)
		defer cancel()
		r, err := d.Nodes.GetStatus(ctx, &vrouterv1.GetStatusRequest{})
		if err != nil {
			return err
		}
		for _, c := range r.Conditions {
			if !c.Ok {
				return fmt.Errorf("%s: %s", c.Name, c.Reason)
			}
		}
		if !r.Ready {
			return fmt.Errorf("not ready")
		}
		return nil
	})
}

// WaitEstablished waits until n sessions, of both families, are up.
func (d *Daemon) WaitEstablished(n int) {
	d.t.Helper()
	lab.Eventually(d.t, Limit, fmt.Sprintf("%s has %d sessions up", d.Name(), n), func() error {
		ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Second)
		defer cancel()
		r, err := d.Nodes.GetStatus(ctx, &vrouterv1.GetStatusRequest{})
		if err != nil {
			return err
		}
		up := 0
		var rest []string
		for _, p := range r.Peers {
			if p.State == "Established" {
				up++
				continue
			}
			rest = append(rest, fmt.Sprintf("%s %s %s", p.Name, p.State, p.LastError))
		}
		if up != n {
			return fmt.Errorf("%d up, not: %s; problems: %v", up, strings.Join(rest, ", "), r.Problems)
		}
		return nil
	})
}

// Ctl runs vrouterctl against the daemon and returns what it printed.
func (d *Daemon) Ctl(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, Program(d.t, "vrouterctl"), append([]string{"--server", "unix://" + d.Socket()}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Apply applies manifests through vrouterctl.
func (d *Daemon) Apply(manifests string) {
	d.t.Helper()
	path := d.Lab().File(filepath.Join(d.Name(), "manifest.yaml"), manifests)
	if out, err := d.Ctl("apply", "-f", path); err != nil {
		d.t.Fatalf("host %s: apply: %v\n%s", d.Name(), err, out)
	}
}

// Workload makes a container-like workload on the daemon's host and registers
// it through via, which may be any daemon; it returns once it is advertised.
func (d *Daemon) Workload(via *Daemon, name string, addrs ...string) *lab.Workload {
	d.t.Helper()
	w := d.Host.Workload(name, "cali"+name, addrs...)
	via.Register(d.Name(), name, "cali"+name, addrs...)
	return w
}

// Register registers an endpoint of that name on a node and waits until it is
// advertised.
func (d *Daemon) Register(node, name, ifName string, addrs ...string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), Limit)
	defer cancel()
	r, err := d.Endpoint.Register(ctx, Request(node, name, ifName, addrs...), grpc.WaitForReady(true))
	if err != nil {
		d.t.Fatalf("register %s on %s: %v", name, node, err)
	}
	if r.Stage != vrouterv1.Stage_STAGE_ADVERTISED {
		d.t.Fatalf("register %s on %s: stage %s", name, node, r.Stage)
	}
}

// Request is the registration of an endpoint that lets all traffic pass, and
// waits until it is advertised.
func Request(node, name, ifName string, addrs ...string) *vrouterv1.RegisterRequest {
	r := &vrouterv1.RegisterRequest{
		Id:            &vrouterv1.EndpointID{Namespace: "default", Orchestrator: "lab", Workload: name, Endpoint: "eth0"},
		Node:          node,
		InterfaceName: ifName,
		Profiles:      []string{"projectcalico-default-allow"},
		Wait:          vrouterv1.Stage_STAGE_ADVERTISED,
	}
	for _, a := range addrs {
		ip := netip.MustParseAddr(a)
		r.IpNetworks = append(r.IpNetworks, netip.PrefixFrom(ip, ip.BitLen()).String())
	}
	return r
}
