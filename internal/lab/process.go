package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/vishvananda/netns"
)

// ProcessOptions are what a program may need beyond its arguments.
type ProcessOptions struct {
	Env   []string   // "KEY=value", added to that of this process
	Dir   string     // working directory; this process's own if empty
	Files []*os.File // become descriptors 3, 4, ... of the program
}

// Process is a program that runs in a host. It dies with the lab, and with
// the process that owns the lab, however that one ends.
type Process struct {
	Name   string
	Pid    int
	Log    string          // path of the file that takes its output, appended at each start
	Exited <-chan struct{} // closed when it has ended and been waited for

	cmd   *exec.Cmd
	start int64 // length of Log when it was started
	err   error // of Wait; read after Exited
}

// Start runs a program in the host, with its output in HOST.NAME.log of the
// lab's directory. A program that cannot be started fails the test.
func (h *Host) Start(name string, argv []string, opts ProcessOptions) *Process {
	h.lab.t.Helper()
	p, err := h.start(name, argv, opts)
	if err != nil {
		h.lab.t.Fatalf("host %s: start %s: %v", h.name, name, err)
	}
	return p
}

func (h *Host) start(name string, argv []string, opts ProcessOptions) (*Process, error) {
	path := filepath.Join(h.lab.dir, h.name+"."+name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	size, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(h.lab.logs, path) {
		h.lab.logs = append(h.lab.logs, path)
	}
	cmd := h.command(context.Background(), argv, opts)
	cmd.Stdout, cmd.Stderr = log, log
	if err := h.lab.spawner.start(h.ns, cmd); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	p := &Process{Name: name, Pid: cmd.Process.Pid, Log: path, Exited: exited, cmd: cmd, start: size}
	go func() {
		p.err = cmd.Wait()
		close(exited)
	}()
	return p, nil
}

func (h *Host) command(ctx context.Context, argv []string, opts ProcessOptions) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = markedEnv(append(os.Environ(), opts.Env...), h.lab.id)
	cmd.Dir = opts.Dir
	cmd.ExtraFiles = opts.Files
	// A group of its own, so that Ctrl-C at the terminal reaches the owner
	// alone, which then cleans up in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd
}

// Run runs a program in the host to its end and returns its standard output.
// The error holds what it wrote to standard error.
func (h *Host) Run(ctx context.Context, argv ...string) ([]byte, error) {
	cmd := h.command(ctx, argv, ProcessOptions{})
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := h.lab.spawner.start(h.ns, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return stdout.Bytes(), fmt.Errorf("host %s: run %q: %w: %s", h.name, argv, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// MustRun is Run for a program whose failure fails the test.
func (h *Host) MustRun(argv ...string) string {
	h.lab.t.Helper()
	out, err := h.Run(h.lab.t.Context(), argv...)
	if err != nil {
		h.lab.t.Fatalf("%v", err)
	}
	return string(out)
}

// Signal sends sig. A process that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// Kill kills the process as kill -9 does and waits until it is gone.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.Exited
}

// Stop asks the process to end by SIGTERM and returns what Wait returns. When
// ctx ends first, the process is killed and the error says so.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.Exited:
		return p.err
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stop %s: it ignored SIGTERM and was killed: %w", p.Name, ctx.Err())
	}
}

// Wait waits for the end of the process; the error is an *exec.ExitError when
// its status was not 0.
func (p *Process) Wait() error {
	<-p.Exited
	return p.err
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.Exited:
		return false
	default:
		return true
	}
}

// Output is what the process has written since it was started.
func (p *Process) Output() string {
	data, err := os.ReadFile(p.Log)
	if err != nil || int64(len(data)) < p.start {
		return ""
	}
	return string(data[p.start:])
}

// spawner starts all programs of a lab on one thread that lives as long as
// the lab does: the kernel sends the parent-death signal when the *thread*
// that forked ends, and the threads of the Go runtime come and go.
type spawner struct {
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = onThread(netns.None(), func() error {
			for job := range s.jobs {
				job()
			}
			return nil
		})
	}()
	return s
}

// start starts cmd inside ns.
func (s *spawner) start(ns netns.NsHandle, cmd *exec.Cmd) error {
	result := make(chan error)
	s.jobs <- func() { result <- onThread(ns, cmd.Start) }
	return <-result
}

// stop ends the thread. Call it when no program is left.
func (s *spawner) stop() {
	close(s.jobs)
	<-s.done
}
