package etcd_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/internal/store/etcd/etcdtest"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// authority signs the certificates of etcd and its clients.
type authority struct {
	*testenv.Authority
	t *testing.T
}

func newAuthority(t *testing.T) authority { return authority{testenv.NewAuthority(t, "ca"), t} }

// serve starts an etcd that wants client certificates.
func (a authority) serve() *etcdtest.Server {
	a.Issue("server")
	return etcdtest.Start(a.t, func(c *embed.Config) {
		c.ListenClientUrls[0].Scheme, c.AdvertiseClientUrls[0].Scheme = "https", "https"
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = a.File("server.pem"), a.File("server.key")
		c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = a.File("ca.pem"), true
	})
}

func (a authority) files(client string) etcd.TLSFiles {
	return etcd.TLSFiles{CA: a.File("ca.pem"), Cert: a.File(client + ".pem"), Key: a.File(client + ".key")}
}

// try calls with a configuration, each time in bounded time, until an answer is
// as wanted or a minute has passed: of a busy machine a call learns nothing but
// that its time is over.
func try(t *testing.T, cfg etcd.Config, wanted func(error) bool) error {
	t.Helper()
	s, err := etcd.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return until(t, wanted, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := s.Revision(ctx)
		return err
	})
}

// says tells of an error that the store is away, and why.
func says(want string) func(error) bool {
	return func(err error) bool {
		return errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), want)
	}
}

func works(err error) bool { return err == nil }

func refused(err error) bool { return errors.Is(err, store.ErrPermission) }

// TestTLS has an operator see from the error alone which certificate is wrong.
func TestTLS(t *testing.T) {
	ours, strangers := newAuthority(t), newAuthority(t)
	ours.Issue("host")
	strangers.Issue("host")
	server := ours.serve()
	wrongCA, wrongCert := ours.files("host"), strangers.files("host")
	wrongCA.CA, wrongCert.CA = strangers.File("ca.pem"), ours.File("ca.pem")
	for _, c := range []struct {
		name     string
		endpoint string
		tls      etcd.TLSFiles
		want     string // empty: works
	}{
		{"right", server.Endpoint(), ours.files("host"), ""},
		{"right, no scheme", server.Addr, ours.files("host"), ""},
		{"wrong authority", server.Endpoint(), wrongCA, "certificate signed by unknown authority"},
		{"wrong certificate", server.Endpoint(), wrongCert, "tls: "},
		{"no certificate", server.Endpoint(), etcd.TLSFiles{CA: ours.File("ca.pem")}, "tls: "},
		{"nobody listens", "https://127.0.0.1:1", ours.files("host"), "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wanted := says(c.want)
			if c.want == "" {
				wanted = works
			}
			if err := try(t, etcd.Config{Endpoints: []string{c.endpoint}, TLS: c.tls}, wanted); !wanted(err) {
				t.Fatalf("%q is not in: %v", c.want, err)
			}
		})
	}
}

// TestTLSRenewed replaces the client's certificate on disk, as a renewal does.
func TestTLSRenewed(t *testing.T) {
	ours := newAuthority(t)
	ours.Issue("host")
	server := ours.serve()
	s, err := etcd.New(etcd.Config{Endpoints: []string{server.Endpoint()}, TLS: ours.files("host")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Revision(t.Context()); err != nil {
		t.Fatal(err)
	}
	ours.Issue("host")
	server.Restart(t) // so that it connects again
	if err := eventually(t, func() error { _, err := s.Revision(t.Context()); return err }); err != nil {
		t.Fatal(err)
	}
}

// TestUnreachable has a daemon start while etcd is away, with all that needs a
// login: nothing blocks, and it works once etcd is there.
func TestUnreachable(t *testing.T) {
	server := etcdtest.Start(t, nil)
	withUsers(t, server)
	server.Stop()
	var log bytes.Buffer
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("s3cret-word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := etcd.New(etcd.Config{
		Endpoints: []string{server.Endpoint()}, Username: "host", PasswordFile: password,
		Timeout: 500 * time.Millisecond,
		Logger:  hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: &log}),
	})
	if err != nil {
		t.Fatal(err)
	}
	away := says("connection refused") // once it has been tried
	if err := until(t, away, func() error { _, err := s.Revision(t.Context()); return err }); !away(err) {
		t.Errorf("while etcd is away: %v", err)
	}
	patient, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := s.Revision(patient); !errors.Is(err, store.ErrUnavailable) || patient.Err() != nil {
		t.Errorf("with a far deadline: %v", err)
	}
	if got := s.Stats().LastError; !strings.Contains(got, "connection refused") {
		t.Errorf("stats say %q", got)
	}
	w := s.Watch(t.Context(), store.WatchOptions{Prefixes: []string{"r/"}})
	server.Restart(t)
	for {
		b, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b.Synced {
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "s3cret") {
		t.Error("the password is in the log")
	}
	if !strings.Contains(log.String(), "connection refused") {
		t.Errorf("the reason is not in the log:\n%s", log.String())
	}
}

// withUsers turns authorisation on: host, with the password s3cret-word, may
// use r/ and meta below the prefix.
func withUsers(t *testing.T, server *etcdtest.Server) {
	t.Helper()
	c := server.Client(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.UserAdd(ctx, "root", "root-word"))
	must(c.UserGrantRole(ctx, "root", "root"))
	must(c.UserAdd(ctx, "host", "s3cret-word"))
	must(c.RoleAdd(ctx, "host"))
	readWrite := clientv3.PermissionType(clientv3.PermReadWrite)
	for _, prefix := range []string{"r/", "meta"} {
		from := etcd.DefaultPrefix + prefix
		must(c.RoleGrantPermission(ctx, "host", from, clientv3.GetPrefixRangeEnd(from), readWrite))
	}
	must(c.UserGrantRole(ctx, "host", "host"))
	must(c.AuthEnable(ctx))
}

func TestPassword(t *testing.T) {
	server := etcdtest.Start(t, nil)
	withUsers(t, server)
	password := filepath.Join(t.TempDir(), "password")
	cfg := etcd.Config{Endpoints: []string{server.Endpoint()}, Username: "host", PasswordFile: password, Timeout: time.Minute}
	if err := os.WriteFile(password, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try(t, cfg, refused); !refused(err) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("wrong password: %v", err)
	}
	if err := try(t, etcd.Config{Endpoints: cfg.Endpoints}, refused); !refused(err) {
		t.Errorf("no password: %v", err)
	}
	if err := os.WriteFile(password, []byte("s3cret-word"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := etcd.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Txn(t.Context(), nil, []store.Op{{Key: "r/a"}}); err != nil {
		t.Errorf("a key that is allowed: %v", err)
	}
	if _, err := s.Txn(t.Context(), nil, []store.Op{{Key: "s/a"}}); !errors.Is(err, store.ErrPermission) {
		t.Errorf("a key that is not: %v", err)
	}
	w := s.Watch(t.Context(), store.WatchOptions{Prefixes: []string{"r/"}})
	if b, err := w.Next(t.Context()); err != nil || len(b.Events) != 1 {
		t.Errorf("a watch that is allowed: %+v, %v", b, err)
	}
	for _, opts := range []store.WatchOptions{{Prefixes: []string{"s/"}}, {Prefixes: []string{"r/", "s/"}, After: 1}} {
		w := s.Watch(t.Context(), opts)
		for {
			if _, err := w.Next(t.Context()); err != nil {
				if !errors.Is(err, store.ErrPermission) {
					t.Errorf("a watch that is not: %v", err)
				}
				break
			}
		}
	}
}

// eventually repeats a call until it succeeds, or a minute has passed.
func eventually(t *testing.T, call func() error) error {
	t.Helper()
	return until(t, works, call)
}

// until repeats a call until it ends as wanted, or a minute has passed.
func until(t *testing.T, wanted func(error) bool, call func() error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := call()
		if wanted(err) || ctx.Err() != nil {
			return err
		}
	}
}
