package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// expect checks exit code and standard error of a run.
func (r result) expect(t *testing.T, code int, errText string) {
	t.Helper()
	if r.code != code || r.err != errText {
		t.Errorf("exit code %d, want %d; errors:\n%swant:\n%s", r.code, code, r.err, errText)
	}
}

func TestUnreachable(t *testing.T) {
	f := newFake(t)
	f.run("get", "nodes").expect(t, ExitOK, "No resources found\n")
	f.server.Stop()
	const nobody = "error: cannot reach vrouterd at /run/vrouter/vrouterd.sock: no such file or directory: is it running?\n"
	f.run("get", "nodes").expect(t, ExitUnreachable, nobody)
	f.run("get", "nodes", "--watch").expect(t, ExitUnreachable, nobody)
	f.run("node", "status").expect(t, ExitUnreachable, nobody)
	f.run("routes").expect(t, ExitUnreachable, nobody)
	f.run("apply", "-f", "testdata/manifests/peers.yaml").expect(t, ExitUnreachable,
		strings.Replace(nobody, "error: ", "error: testdata/manifests/peers.yaml: document 1: bgppeer/tor1: ", 1)+
			"1 of 3 objects failed, 2 not tried\n")

	r := f.run("version")
	r.expect(t, ExitUnreachable, nobody)
	if r.out != "vrouterctl devel\n" {
		t.Errorf("version without a server prints %q", r.out)
	}
}

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false) // as a killed daemon leaves it
	listener.Close()
	f := &fake{t: t, path: path}
	f.run("get", "nodes").expect(t, ExitUnreachable,
		"error: cannot reach vrouterd at /run/vrouter/vrouterd.sock: connection refused: is it running?\n")
}

// TestEnvironment checks that a mistake is said to be where it is.
func TestEnvironment(t *testing.T) {
	f := &fake{t: t}
	env := func(name string) string {
		return map[string]string{"VROUTER_SERVER": "somewhere"}[name]
	}
	f.runWith(IO{Getenv: env}, "get", "nodes").expect(t, ExitUsage,
		"error: VROUTER_SERVER \"somewhere\": want unix:///PATH or HOST:PORT\nSee 'vrouterctl get --help'.\n")
	f.runWith(IO{Getenv: env}, "get", "nodes", "--server", "nowhere").expect(t, ExitUsage,
		"error: --server \"nowhere\": want unix:///PATH or HOST:PORT\nSee 'vrouterctl get --help'.\n")
}

func TestServerErrors(t *testing.T) {
	with := func(code codes.Code, message string, details ...protoadapt.MessageV1) error {
		s, err := status.New(code, message).WithDetails(details...)
		if err != nil {
			t.Fatal(err)
		}
		return s.Err()
	}
	violation := func(field, text string) *errdetails.BadRequest_FieldViolation {
		return &errdetails.BadRequest_FieldViolation{Field: field, Description: text}
	}
	for _, tt := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"etcd away", with(codes.Unavailable, "read Node: etcd does not answer", &errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)}),
			ExitFailed, "error: read Node: etcd does not answer\n  try again in 1.5s\n"},
		{"killed while it answers", with(codes.Unavailable, "error reading from server: EOF"),
			ExitUnreachable, "error: cannot reach vrouterd at /run/vrouter/vrouterd.sock: the connection was closed\n"},
		{"no pool", with(codes.FailedPrecondition, "no pool is for this request (a: disabled)", &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "NO_POOL", Subject: "IPPool/a", Description: "disabled"}}}),
			ExitFailed, "error: no pool is for this request (a: disabled)\n"},
		{"etcd full", with(codes.ResourceExhausted, "the store is full"), ExitFailed, "error: the store is full\n"},
		{"one violation", with(codes.InvalidArgument, "write IPPool/x: spec.cidr: no", &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation("spec.cidr", "no")}}),
			ExitFailed, "error: spec.cidr: no\n"},
		{"violations", with(codes.InvalidArgument, "bad object", &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation("spec.cidr", "no"), violation("", "neither")}}),
			ExitFailed, "error: bad object\n  spec.cidr: no\n  neither\n"},
		{"locked", with(codes.FailedPrecondition, "the store is locked", &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "LOCKED", Description: "the store is locked"}}}),
			ExitFailed, "error: the store is locked\n"},
		{"node away", with(codes.FailedPrecondition, "node a is not alive", &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "NOT_ALIVE", Subject: "node a", Description: "node a is not alive"}}}),
			ExitFailed, "error: node a is not alive\n"},
		{"said twice", with(codes.FailedPrecondition, "block in use", &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "BLOCK", Subject: "IPAMBlock/x", Description: "block in use"}}}),
			ExitFailed, "error: block in use\n"},
		{"not permitted", with(codes.PermissionDenied, "unauthorized RPC request rejected"), ExitFailed, "error: not permitted: unauthorized RPC request rejected\n"},
		{"older server", with(codes.Unimplemented, "unknown method"), ExitFailed, "error: vrouterd does not know this call; is it older than vrouterctl? (unknown method)\n"},
		{"bug", with(codes.Internal, "oops\x1b[2J\nmore"), ExitFailed, "error: vrouterd met an error of its own: oops�[2J more\n"},
		{"server's deadline", with(codes.DeadlineExceeded, "peer did not answer", &errdetails.ErrorInfo{Reason: "X"}), ExitDeadline, "error: peer did not answer\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.fail = func(string, any) error { return tt.err }
			f.run("get", "nodes").expect(t, tt.code, tt.want)
		})
	}
}

func TestTimeout(t *testing.T) {
	f := newFake(t)
	f.hang = make(chan struct{})
	t.Cleanup(func() { close(f.hang) })
	for _, command := range []string{"get nodes", "routes"} {
		r, timeout := f.connected(50*time.Millisecond, strings.Fields(command)...)
		r.expect(t, ExitDeadline, fmt.Sprintf("error: no answer from vrouterd within %s (--timeout)\n", timeout))
	}
}

// connected runs a command with a --timeout, and again with twice of it while
// that ends before there is a connection. It tells the last.
func (f *fake) connected(timeout time.Duration, args ...string) (result, time.Duration) {
	f.t.Helper()
	for ; ; timeout *= 2 {
		r := f.run(append(slices.Clone(args), "--timeout", timeout.String())...)
		if r.code != ExitUnreachable || timeout > time.Minute {
			return r, timeout
		}
	}
}

// TestNobodyAnswers: a server that takes connections and says nothing is not
// reached, whatever is asked.
func TestNobodyAnswers(t *testing.T) {
	f := &fake{t: t, path: filepath.Join(socketDir(t), "s")}
	listener, err := net.Listen("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, command := range []string{"get nodes", "routes"} {
		f.run(append(strings.Fields(command), "--timeout", "50ms")...).expect(t, ExitUnreachable,
			"error: cannot reach vrouterd at /run/vrouter/vrouterd.sock: no answer in time\n")
	}
}

// TestAnsweredBeforeReady: an answer may come before gRPC counts the connection
// as ready, and is an answer then, too.
func TestAnsweredBeforeReady(t *testing.T) {
	answer := status.Error(codes.Unavailable, "etcd is away")
	l := &link{server: "s"}
	ours, theirs := net.Pipe()
	conn := &linkConn{ours, l}
	c := &client{link: l}
	var unreachable *unreachableError
	if err := c.translate(answer); !errors.As(err, &unreachable) {
		t.Errorf("before the server said anything: %v", err)
	}
	go theirs.Write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.translate(answer); !errors.Is(err, answer) {
		t.Errorf("after it has spoken: %v", err)
	}
	theirs.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d octets of nobody", n)
	}
	if err := c.translate(answer); !errors.As(err, &unreachable) {
		t.Errorf("after it has gone: %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.fail = func(string, any) error { cancel(); return nil }
	io := IO{In: strings.NewReader(""), Out: os.Stderr, Err: os.Stderr, Getenv: func(string) string { return "" }, Now: now}
	if code := Run(ctx, io, []string{"--server", f.path, "get", "nodes", "--watch"}); code != ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, ExitInterrupted)
	}
}

func TestWaitInVain(t *testing.T) {
	f := newFake(t)
	f.stage = vrouterv1.Stage_STAGE_REGISTERED
	register := []string{"endpoint", "register", "prod/docker/web/eth0", "--interface", "veth9", "--ip", "10.65.0.9", "--wait", "programmed"}
	const text = `error: endpoint prod/docker/web/eth0 has reached "registered", not "programmed", and stays registered: interface veth9 does not exist` + "\n"
	f.run(register...).expect(t, ExitDeadline, text)

	// The server's answer comes too late: the stage is asked for.
	f.fail = func(method string, _ any) error {
		if method == "Register" {
			return status.Error(codes.DeadlineExceeded, "context deadline exceeded")
		}
		return nil
	}
	f.run(register...).expect(t, ExitDeadline, text)
}

// TestConflict checks that reads and writes of one object are repeated while
// others are faster, and not for ever.
func TestConflict(t *testing.T) {
	patch := []string{"patch", "bgppeer", "tor1", "-p", "spec: {asNumber: 65009}"}
	for _, tt := range []struct {
		name      string
		conflicts int
		args      []string
		code      int
		want      string
	}{
		{"patch twice", 2, patch, ExitOK, ""},
		{"patch too often", 99, patch, ExitFailed, "error: bgppeer/tor1: the object was changed meanwhile: stale\n"},
		{"replace twice", 2, []string{"replace", "-f", "testdata/manifests/peers.yaml"}, ExitOK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.run("apply", "-f", "testdata/manifests/peers.yaml").expect(t, ExitOK, "")
			left := tt.conflicts
			f.fail = func(method string, _ any) error {
				if method != "Put" || left == 0 {
					return nil
				}
				left--
				return status.Error(codes.Aborted, "stale")
			}
			f.run(tt.args...).expect(t, tt.code, tt.want)
			if tt.conflicts > 50 && tt.conflicts-left != 5 {
				t.Errorf("tried %d times, want 5", tt.conflicts-left)
			}
		})
	}
}

func TestInnermost(t *testing.T) {
	for in, want := range map[string]string{
		`connection error: desc = "transport: authentication handshake failed: x"`:                         "authentication handshake failed: x",
		`connection error: desc = "error reading server preface: remote error: tls: certificate required"`: "remote error: tls: certificate required",
		"error reading from server: EOF": "the connection was closed",
		"plain":                          "plain",
		"":                               "",
	} {
		if got := innermost(in); got != want {
			t.Errorf("innermost(%q) = %q, want %q", in, got, want)
		}
	}
}

// fullDisk takes no output.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestOutputLost(t *testing.T) {
	f := newFake(t)
	f.run("apply", "-f", "testdata/manifests/peers.yaml").expect(t, ExitOK, "")
	for _, args := range [][]string{{"get", "bgppeers"}, {"get", "bgppeers", "-o", "json"}, {"get", "bgppeers", "-o", "name"}, {"version"}} {
		f.status = busyNode()
		var errOut strings.Builder
		io := IO{In: strings.NewReader(""), Out: fullDisk{}, Err: &errOut, Getenv: func(string) string { return "" }, Now: now}
		code := Run(t.Context(), io, append([]string{"--server", f.path}, args...))
		if code != ExitFailed || !strings.Contains(errOut.String(), "no space left on device") {
			t.Errorf("%q: exit code %d, %s", args, code, errOut.String())
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, ExitOK},
		{errors.New("x"), ExitFailed},
		{status.Error(codes.Canceled, "x"), ExitInterrupted},
		{fmt.Errorf("x: %w", context.Canceled), ExitInterrupted},
		{fmt.Errorf("x: %w", status.Error(codes.NotFound, "x")), ExitNotFound},
		{errors.Join(errors.New("x"), &usageError{errors.New("y")}), ExitUsage},
		{&deadlineError{"x"}, ExitDeadline},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("exitCode(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestHints(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", err)}
	}
	for _, tt := range []struct {
		cause error
		want  string
	}{
		{dial(syscall.EACCES), "cannot reach vrouterd at s: permission denied: the socket is open to root and to its group"},
		{dial(syscall.ENOENT), "cannot reach vrouterd at s: no such file or directory: is it running?"},
		{dial(syscall.EHOSTUNREACH), "cannot reach vrouterd at s: no route to host"},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "cannot reach vrouterd at s: i/o timeout: is it running?"},
	} {
		lines := sentences(&unreachableError{server: "s", cause: tt.cause})
		if len(lines) != 1 || lines[0] != tt.want {
			t.Errorf("got %q, want %q", lines, tt.want)
		}
	}
}
