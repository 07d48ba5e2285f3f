package integration_test

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestConfigurationWithThreeMistakes starts a daemon that must not start.
func TestConfigurationWithThreeMistakes(t *testing.T) {
	needDaemons(t)
	h := lab.New(t, "mistakes").Host("h1")
	path := h.Lab().File("vrouterd.yaml", `node:
  name: h1
  ipv4address: 192.0.2.1
bgp:
  holdTime: 90
log:
  level: chatty
`)
	_, err := h.Run(t.Context(), fabric.Program(t, "vrouterd"), "--config", path)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("ended with %v, wanted exit code 2", err)
	}
	for _, words := range []string{"3 problems", "node.ipv4address: unknown field", "bgp.holdTime: ", "log.level: "} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q is not in: %v", words, err)
		}
	}
}

// TestNameOfAnotherHost starts a host under the name of one that lives: it is
// refused, says so, and touches nothing of the first.
func TestNameOfAnotherHost(t *testing.T) {
	needDaemons(t, "program:etcdctl")
	s := fabric.NewSegment(t, "name", 1)
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{})
	}
	first := s.Hosts[0]
	first.WaitReady()
	first.Apply(fabric.PoolManifest)
	workloads := populate(s.Hosts, 1)
	for _, d := range s.Hosts {
		d.WaitSettled(2)
	}
	before := stored(t, first.Host, []string{s.Etcd[0].Endpoint}, "r/")

	twin := s.Daemon("twin", fabric.Settings{Node: "h1"})
	twin.WaitCondition("node", "held by another live host")
	twin.Host.Workload("impostor", workloads[0].IfName, "10.65.1.1")
	// For longer than a start waits for the store before it goes on without.
	lab.Eventually(t, fabric.Limit, "the twin has read the store and lost its patience", func() error {
		r, err := twin.Status()
		if err == nil && (r.StoreRevision == 0 || time.Since(r.Started.AsTime()) < 5*time.Second) {
			err = errors.New("not yet")
		}
		return err
	})
	twin.WaitCondition("node", "held by another live host")
	if routes := fabric.Routes(twin.Host); routes != "" {
		t.Errorf("the twin has routes:\n%s", routes)
	}
	if r, err := twin.Status(); err != nil || len(r.Peers) > 0 {
		t.Errorf("the twin speaks BGP: %v, %v", r.GetPeers(), err)
	}
	after := stored(t, first.Host, []string{s.Etcd[0].Endpoint}, "r/")
	for key, value := range before {
		if after[key] != value {
			t.Errorf("%s was changed or removed", key)
		}
	}
	for _, d := range s.Hosts[:2] {
		d.WaitReady()
		d.WaitEstablished(2)
	}
	requireAllPairs(t, workloads)
}

// TestOversizedMessages sends more than the API takes, by hand and as a
// manifest.
func TestOversizedMessages(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "large", 0)
	d := s.Daemon("h1", fabric.Settings{})
	d.WaitReady()
	d.Apply(fabric.PoolManifest)
	large := strings.Repeat("x", 5<<20)
	r := fabric.Request("h1", "large", "calilarge", "10.65.1.1")
	r.Annotations = map[string]string{"large": large}
	_, err := d.Endpoint.Register(t.Context(), r)
	requireCode(t, err, codes.ResourceExhausted, "larger")
	manifest := d.Lab().File("large.yaml", "apiVersion: vrouter/v1\nkind: IPPool\nmetadata: {name: large, annotations: {large: "+
		large+"}}\nspec: {cidr: 10.66.0.0/16}\n")
	var exit *exec.ExitError
	if out, err := d.Ctl("apply", "-f", manifest); !errors.As(err, &exit) || exit.ExitCode() != 1 || len(out) > 1000 {
		t.Errorf("vrouterctl ended with %v: %.1000s", err, out)
	}
	if err := registerOn(t.Context(), d, "h1", "small", "calismall", "10.65.1.1"); err != nil {
		t.Errorf("the call after them: %v", err)
	}
}

// TestCertificatesOfTheWrongAuthority runs etcd and the API over TCP with TLS,
// and has hosts and callers come with certificates of somebody else.
func TestCertificatesOfTheWrongAuthority(t *testing.T) {
	needDaemons(t)
	right, wrong := testenv.NewAuthority(t, "ca"), testenv.NewAuthority(t, "ca")
	s := fabric.NewSegment(t, "tls", 0)
	member, addr := s.Host("etcd")
	endpoint := secureEtcd(member, addr.String(), right)
	settings := func(trusted, signer *testenv.Authority, name string) fabric.Settings {
		signer.Issue(name, net.ParseIP("10.0.0.2"))
		files := fmt.Sprintf("  caFile: %s\n  certFile: %s\n  keyFile: %s\n",
			trusted.File("ca.pem"), signer.File(name+".pem"), signer.File(name+".key"))
		return fabric.Settings{Endpoints: []string{endpoint}, Store: files, API: "  listen: 10.0.0.2:7443\n" + files}
	}
	d := s.Daemon("h1", settings(wrong, right, "h1"))
	d.WaitCondition("store", "certificate signed by unknown authority")
	addresses := d.Settings
	for _, c := range []struct {
		name     string
		settings fabric.Settings
		words    string // of the condition store; empty: ready
	}{
		{"client of another authority", settings(right, wrong, "other"), "certificate"},
		{"all as it should be", settings(right, right, "h1"), ""},
	} {
		d.Stop()
		c.settings.IPv4, c.settings.IPv6 = addresses.IPv4, addresses.IPv6
		d.Configure(c.settings)
		d.Start()
		if c.words == "" {
			d.WaitReady()
			continue
		}
		d.WaitCondition("store", c.words)
	}
	right.Issue("operator")
	wrong.Issue("operator")
	for _, c := range []struct {
		trusted, signer *testenv.Authority
		words           string // of the refusal
	}{
		{right, right, ""},
		{wrong, right, "unknown authority"},
		{right, wrong, "certificate"},
	} {
		out, err := d.Run(t.Context(), fabric.Program(t, "vrouterctl"), "--server", "10.0.0.2:7443",
			"--ca", c.trusted.File("ca.pem"), "--cert", c.signer.File("operator.pem"), "--key", c.signer.File("operator.key"), "node", "status")
		if c.words == "" && err != nil || c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("wanted a refusal with %q: %v\n%s", c.words, err, out)
		}
	}
}

// secureEtcd starts an etcd that wants certificates, and returns its endpoint.
func secureEtcd(h *lab.Host, addr string, a *testenv.Authority) string {
	a.Issue("etcd", net.ParseIP(addr))
	endpoint := "https://" + addr + ":2379"
	h.Start("etcd", []string{
		testenv.Program("etcd"), "--data-dir", dataDir(h), "--log-level", "warn", "--logger", "zap",
		"--listen-client-urls", endpoint, "--advertise-client-urls", endpoint, "--listen-peer-urls", "http://127.0.0.1:2380",
		"--client-cert-auth", "--trusted-ca-file", a.File("ca.pem"), "--cert-file", a.File("etcd.pem"), "--key-file", a.File("etcd.key"),
	}, lab.ProcessOptions{})
	return endpoint
}
