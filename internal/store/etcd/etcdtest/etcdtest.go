// Package etcdtest runs etcd servers for tests, on loopback: in this process
// with fast ticks (Start), or a program of the machine (StartProgram). A server
// can be stopped, started again on the same port with its data or without, and
// compacted; a Link before it can be cut, so that one client loses it and
// others do not. Everything is stopped and removed at the end of the test.
package etcdtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/projectvrouter/vrouter/internal/testenv"
)

// patience is how long a server may take to do anything; a loaded machine
// needs seconds.
const patience = 60 * time.Second

// Server is a single etcd server.
type Server struct {
	Dir  string // of its data
	Addr string // host:port of clients

	config func(*embed.Config)
	scheme string
	peer   string // host:port
	fixed  bool   // the ports must not change any more
	run    func(testing.TB) (stop func())
	stop   func() // nil while stopped
}

// Start runs a server in this process. Configure, when not nil, may change its
// configuration.
func Start(t testing.TB, configure func(*embed.Config)) *Server {
	t.Helper()
	s := &Server{Dir: filepath.Join(t.TempDir(), "etcd"), Addr: "127.0.0.1:0", scheme: "http", config: configure}
	s.run = s.embedded
	s.begin(t)
	return s
}

// StartProgram runs /usr/bin/etcd, or skips the test where there is none.
func StartProgram(t testing.TB) *Server {
	t.Helper()
	testenv.Need(t, "program:etcd")
	s := &Server{Dir: filepath.Join(t.TempDir(), "etcd"), Addr: freeAddr(t), scheme: "http", peer: freeAddr(t)}
	s.run = s.program
	s.begin(t)
	return s
}

func (s *Server) begin(t testing.TB) {
	s.Restart(t)
	t.Cleanup(s.Stop)
}

// Endpoint returns the URL of clients.
func (s *Server) Endpoint() string { return s.scheme + "://" + s.Addr }

// Stop ends the server and keeps its data. Stopping twice does nothing.
func (s *Server) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Restart stops the server, if it runs, and starts it on the same port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	s.stop = s.run(t)
}

// Wipe swaps the server for an empty one on the same port.
func (s *Server) Wipe(t testing.TB) {
	t.Helper()
	s.Stop()
	if err := os.RemoveAll(s.Dir); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
}

// Compact forgets the history before a revision.
func (s *Server) Compact(t testing.TB, revision int64) {
	t.Helper()
	c := s.Client(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatalf("compact to %d: %v", revision, err)
	}
}

// Client returns an etcd client of the server, without TLS or password.
func (s *Server) Client(t testing.TB) *clientv3.Client {
	t.Helper()
	soon := backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}
	c, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{s.Endpoint()},
		Logger:      zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon})},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s *Server) embedded(t testing.TB) func() {
	t.Helper()
	c := embed.NewConfig()
	c.Name = "test"
	c.Dir = s.Dir
	c.TickMs, c.ElectionMs = 10, 50
	c.UnsafeNoFsync = true
	client := url.URL{Scheme: "http", Host: s.Addr}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls = nil
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	if s.config != nil {
		s.config(c)
	}
	s.scheme = c.ListenClientUrls[0].Scheme
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatalf("start etcd: %v", err)
	}
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(patience):
		e.Close()
		t.Fatal("etcd is not ready")
	}
	s.Addr = e.Clients[0].Addr().String()
	return e.Close
}

// program starts etcd and tries again when it ends at once, because somebody
// else took a port; before the first success it chooses others.
func (s *Server) program(t testing.TB) func() {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		p, err := s.launch()
		if err != nil {
			t.Fatalf("start etcd: %v", err)
		}
		client, answers := s.Client(t), make(chan error, 1)
		go func() {
			_, err := client.Get(ctx, "x")
			answers <- err
		}()
		select {
		case err := <-answers:
			if err == nil {
				s.fixed = true
				return p.kill
			}
		case <-p.ended:
		}
		p.kill()
		if ctx.Err() != nil {
			t.Fatalf("etcd does not answer; it said:\n%s", p.output.String())
		}
		if !s.fixed {
			if err := os.RemoveAll(s.Dir); err != nil {
				t.Fatal(err)
			}
			s.Addr, s.peer = freeAddr(t), freeAddr(t)
		}
	}
}

// process is a running etcd.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer  // to be read after it has ended
	ended  chan struct{} // closed once it has
}

func (s *Server) launch() (*process, error) {
	p := &process{ended: make(chan struct{})}
	p.cmd = exec.Command(testenv.Program("etcd"), "--name", "test", "--data-dir", s.Dir,
		"--listen-client-urls", s.Endpoint(), "--advertise-client-urls", s.Endpoint(),
		"--listen-peer-urls", "http://"+s.peer, "--initial-advertise-peer-urls", "http://"+s.peer,
		"--initial-cluster", "test=http://"+s.peer,
		"--heartbeat-interval", "10", "--election-timeout", "100", "--logger", "zap", "--log-level", "error")
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // killed, mostly
	}()
	return p, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// freeAddr returns an address that nobody listens on right now. It is one of
// loopback's that no other process uses: at 127.0.0.1 whoever connects to
// anything takes ports, and this one is only bound later.
func freeAddr(t testing.TB) string {
	pid := os.Getpid()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+pid>>16, pid>>8&0xff, pid&0xff))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
