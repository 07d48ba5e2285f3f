package server

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/projectvrouter/vrouter/internal/testenv"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// authority signs the certificates of servers and their clients.
type authority struct{ *testenv.Authority }

func newCA(t *testing.T, name string) authority {
	t.Helper()
	return authority{testenv.NewAuthority(t, name)}
}

// issue writes a certificate for name at 127.0.0.1, its key and the CA into a
// directory, in place of what was there.
func (a authority) issue(dir, name string) TCP {
	a.IssueTo(dir, name)
	file := func(name string) string { return filepath.Join(dir, name) }
	return TCP{Listen: "127.0.0.1:0", CA: file("ca.pem"), Cert: file(name + ".pem"), Key: file(name + ".key")}
}

func (a authority) tcp(t *testing.T, name string) TCP { return a.issue(t.TempDir(), name) }

// client returns clients with a certificate for name.
func (a authority) client(t *testing.T, s *Server, name string) clients {
	t.Helper()
	return dialTLS(t, s, &tls.Config{RootCAs: a.Pool(), GetClientCertificate: a.present(t, name)})
}

// present shows a certificate for name also to a server that does not want one
// of this CA; by itself a client in Go would then show none.
func (a authority) present(t *testing.T, name string) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	t.Helper()
	files := a.tcp(t, name)
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
}

func dialTLS(t *testing.T, s *Server, config *tls.Config) clients {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+s.TCPAddr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return clientsOf(c)
}

func (c clients) ask(t *testing.T) error {
	t.Helper()
	_, err := c.nodes.GetStatus(t.Context(), &vrouterv1.GetStatusRequest{})
	return err
}

// lines takes a log, and drops what nobody reads.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	select {
	case l <- string(line):
	default:
	}
	return len(line), nil
}

func TestMutualTLS(t *testing.T) {
	ca, other := newCA(t, "ca"), newCA(t, "other")
	refused := make(lines, 100)
	r := newRig(t, func(o *Options) {
		o.TCP = ca.tcp(t, "host1")
		o.Logger = hclog.New(&hclog.LoggerOptions{Output: refused, Level: hclog.Info})
	})
	if err := ca.client(t, r.api, "cli").ask(t); err != nil {
		t.Error(err)
	}
	t.Run("certificate of another CA", func(t *testing.T) {
		c := dialTLS(t, r.api, &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: other.present(t, "cli")})
		wantCode(t, c.ask(t), codes.Unavailable)
		select {
		case line := <-refused:
			if !strings.Contains(line, "unknown authority") {
				t.Errorf("the log says %q", line)
			}
		case <-time.After(patience):
			t.Error("the log says nothing")
		}
	})
	t.Run("no certificate", func(t *testing.T) {
		wantCode(t, dialTLS(t, r.api, &tls.Config{RootCAs: ca.Pool()}).ask(t), codes.Unavailable)
	})
	t.Run("server of another CA", func(t *testing.T) {
		err := other.client(t, r.api, "cli").ask(t)
		if wantCode(t, err, codes.Unavailable); !strings.Contains(err.Error(), "certificate") {
			t.Errorf("the error does not name the certificate: %v", err)
		}
	})
}

func TestCertificatesAreReadAgain(t *testing.T) {
	before, after := newCA(t, "before"), newCA(t, "after")
	dir := t.TempDir()
	files := before.issue(dir, "host1")
	r := newRig(t, func(o *Options) { o.TCP = files })
	if err := before.client(t, r.api, "cli").ask(t); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.Key, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := before.client(t, r.api, "cli").ask(t); err != nil {
		t.Errorf("a broken key must leave the last one in use: %v", err)
	}
	after.issue(dir, "host1")
	if err := after.client(t, r.api, "cli").ask(t); err != nil {
		t.Error(err)
	}
	wantCode(t, before.client(t, r.api, "cli").ask(t), codes.Unavailable)
}

func TestCertificateOfNoUse(t *testing.T) {
	files := newCA(t, "ca").tcp(t, "host1")
	for _, file := range []string{files.CA, files.Cert} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := New(Options{Store: newRig(t).store, Local: &fakeLocal{}, NodeName: "x", Logger: newRig(t).api.opts.Logger, TCP: files})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const readOnly = `{
	"name": "vrouter",
	"allow_rules": [
		{"name": "read", "source": {"principals": ["viewer"]}, "request": {"paths": ["/vrouter.v1.NodeService/Get*"]}},
		{"name": "all", "source": {"principals": ["admin"]}}
	]
}`

func TestAuthorisationPolicy(t *testing.T) {
	ca := newCA(t, "ca")
	r := newRig(t, func(o *Options) {
		o.TCP = ca.tcp(t, "host1")
		o.TCP.PolicyFile = filepath.Join(t.TempDir(), "policy.json")
		if err := os.WriteFile(o.TCP.PolicyFile, []byte(readOnly), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	viewer, admin, nobody := ca.client(t, r.api, "viewer"), ca.client(t, r.api, "admin"), ca.client(t, r.api, "nobody")
	if err := viewer.ask(t); err != nil {
		t.Error(err)
	}
	wantCode(t, nobody.ask(t), codes.PermissionDenied)
	req := registration("a", "10.0.0.1")
	_, err := viewer.endpoints.Register(t.Context(), req)
	wantCode(t, err, codes.PermissionDenied)
	stream, err := viewer.resources.Watch(t.Context(), &vrouterv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantCode(t, err, codes.PermissionDenied)
	if _, err := admin.endpoints.Register(t.Context(), req); err != nil {
		t.Error(err)
	}
	if err := r.ask(t); err != nil {
		t.Errorf("the policy holds on the socket, too: %v", err)
	}
	if err := os.WriteFile(r.api.opts.TCP.PolicyFile, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := New(r.api.opts); err != nil {
		t.Error(err)
	} else if err := s.Run(t.Context()); err == nil {
		t.Error("a policy that does not parse was accepted")
	}
}
