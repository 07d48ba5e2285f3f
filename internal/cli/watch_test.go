package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// screen collects what a command that goes on prints.
type screen struct {
	mu   sync.Mutex // guards the rest
	text strings.Builder
	more chan struct{} // closed and renewed at each write
}

func newScreen() *screen { return &screen{more: make(chan struct{})} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.more)
	s.more = make(chan struct{})
	return s.text.Write(p)
}

func (s *screen) read() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.more
}

// until waits for a text, and returns all there is then.
func (s *screen) until(t *testing.T, want string) string {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		text, more := s.read()
		if strings.Contains(text, want) {
			return text
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%q does not appear in:\n%s", want, text)
		}
	}
}

// watching is a command that runs until it is stopped.
type watching struct {
	out, err *screen
	stop     func() int
}

func (f *fake) watching(args ...string) *watching {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{out: newScreen(), err: newScreen()}
	io := IO{In: strings.NewReader(""), Out: w.out, Err: w.err, Getenv: func(string) string { return "" }, Now: now}
	done := make(chan int, 1)
	go func() { done <- Run(ctx, io, append([]string{"--server", f.path}, args...)) }()
	w.stop = sync.OnceValue(func() int {
		cancel()
		return <-done
	})
	f.t.Cleanup(func() { w.stop() })
	return w
}

func TestWatchTable(t *testing.T) {
	f := newFake(t)
	f.run("apply", "-f", "testdata/manifests/peers.yaml").expect(t, ExitOK, "")
	w := f.watching("get", "bgppeers", "-w", "-l", "has(rack)")
	w.out.until(t, "tor2")
	f.run("patch", "bgppeer", "tor1", "-p", "spec: {asNumber: 65009}").expect(t, ExitOK, "")
	w.out.until(t, "65009")
	f.run("patch", "bgppeer", "tor2", "-p", "metadata: {labels: null}").expect(t, ExitOK, "")
	w.out.until(t, "DELETED")
	f.run("delete", "bgppeer", "tor1", "reflectors").expect(t, ExitOK, "")
	got := w.out.until(t, "DELETED    tor1")
	const want = `EVENT      NAME   PEERIP       NODE          ASN
ADDED      tor1   10.0.0.254   host1         65001
ADDED      tor2   fd00::fe     rack == "2"   65002
MODIFIED   tor1   10.0.0.254   host1         65009
DELETED    tor2   fd00::fe     rack == "2"   65002
DELETED    tor1   10.0.0.254   host1         65009
`
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if code := w.stop(); code != ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, ExitInterrupted)
	}
}

// TestWatchResumes kills the server under a watch: what changed meanwhile is
// told once, and nothing is told twice.
func TestWatchResumes(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		f := newFake(t)
		f.run("apply", "-f", "testdata/manifests/peers.yaml").expect(t, ExitOK, "")
		w := f.watching("get", "bgppeers,ippools", "-w", "-o", "name")
		w.out.until(t, "bgppeer/tor2 ADDED")

		f.server.Stop()
		w.err.until(t, "trying again")
		f.mu.Lock()
		f.remove(ref{kind: "BGPPeer", name: "tor1"})
		if compacted {
			f.log = nil
			f.fail = func(method string, _ any) error {
				if method == "Watch" {
					f.fail = nil
					return status.Error(codes.OutOfRange, "revision 3 was compacted")
				}
				return nil
			}
		}
		f.mu.Unlock()
		f.start()
		w.out.until(t, "bgppeer/tor1 DELETED")
		f.run("apply", "-f", "testdata/manifests/dir/20-pool.yaml").expect(t, ExitOK, "")
		got := w.out.until(t, "ippool/four ADDED")
		const want = "bgppeer/reflectors ADDED\nbgppeer/tor1 ADDED\nbgppeer/tor2 ADDED\nbgppeer/tor1 DELETED\nippool/four ADDED\n"
		if got != want {
			t.Errorf("compacted %t, got:\n%swant:\n%s", compacted, got, want)
		}
		w.stop()
	}
}

func TestWatchFormats(t *testing.T) {
	f := newFake(t)
	f.run("apply", "-f", "testdata/manifests/dir/20-pool.yaml").expect(t, ExitOK, "")
	for format, want := range map[string]string{
		"json": `{"type":"ADDED","object":{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"four",`,
		"yaml": "---\n# ADDED\napiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: four\n",
		"name": "ippool/four ADDED\n",
	} {
		w := f.watching("get", "ippool", "four", "-w", "-o", format)
		w.out.until(t, want)
		w.stop()
	}
}

func TestWatchEndpoints(t *testing.T) {
	f := newFake(t)
	w := f.watching("endpoint", "watch", "--node", "host1")
	w.out.until(t, "EVENT")
	register := []string{"endpoint", "register", "prod/docker/web/eth0", "--interface", "veth9", "--ip", "10.65.0.9"}
	f.run(register...).expect(t, ExitOK, "")
	w.out.until(t, "ADDED")
	f.run(append(register, "--node", "host2")...).expect(t, ExitOK, "")
	w.out.until(t, "DELETED")
	f.run(register...).expect(t, ExitOK, "")
	f.run("endpoint", "unregister", "prod/docker/web/eth0").expect(t, ExitOK, "")
	f.run(register...).expect(t, ExitOK, "")
	got := w.out.until(t, "advertised")
	if strings.Contains(got, "host2") {
		t.Errorf("another node's endpoint is shown:\n%s", got)
	}
}

func TestWatchRefused(t *testing.T) {
	f := newFake(t)
	f.fail = func(string, any) error { return status.Error(codes.Unavailable, "etcd is away") }
	f.run("get", "nodes", "-w").expect(t, ExitFailed, "error: etcd is away\n")
}

// TestWatchBreaksInSnapshot ends the first stream before its snapshot is
// complete: what it has shown is not shown again, and what is gone by the next
// snapshot is told.
func TestWatchBreaksInSnapshot(t *testing.T) {
	peer := func(name string) update {
		msg := &vrouterv1.BGPPeer{Metadata: &vrouterv1.Metadata{Name: &name}}
		return update{object: msg, key: refOf(msg)}
	}
	broken := status.Error(codes.Unavailable, "error reading from server: EOF")
	streams := [][]update{{peer("tor1"), peer("tor2")}, {peer("tor2"), peer("tor3"), {synced: true, revision: 7}}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var got []string
	f := follower{
		app: &app{IO: IO{Err: newScreen()}},
		open: func(_ context.Context, after int64) (func() (update, error), error) {
			if len(streams) == 0 {
				cancel()
				return nil, broken
			}
			if after != 0 {
				t.Errorf("stream opened after revision %d", after)
			}
			next := streams[0]
			streams = streams[1:]
			return func() (update, error) {
				if len(next) == 0 {
					return update{}, broken
				}
				u := next[0]
				next = next[1:]
				return u, nil
			}, nil
		},
		match: func(proto.Message) bool { return true },
		emit: func(event string, msg proto.Message) error {
			got = append(got, refOf(msg).name+" "+event)
			return nil
		},
		flush: func() error { return nil },
	}
	if err := f.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	want := []string{"tor1 ADDED", "tor2 ADDED", "tor3 ADDED", "tor1 DELETED"}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}
