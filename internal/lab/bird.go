package lab

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/projectvrouter/vrouter/internal/testenv"
)

// BIRD is a BIRD daemon in a host, with a control socket of its own.
type BIRD struct {
	*Process
	// Returning starts it as one that restarts gracefully (RFC 4724).
	Returning bool

	host *Host
	conf string
	ctl  string
}

// BIRD starts BIRD 2 in the host and returns when it answers. Needs
// program:bird and program:birdc.
func (h *Host) BIRD(config string) *BIRD {
	h.lab.t.Helper()
	b := &BIRD{
		host: h,
		conf: h.lab.File(filepath.Join(h.name, "bird.conf"), config),
		ctl:  filepath.Join(h.Dir(), "bird.ctl"),
	}
	b.Start()
	return b
}

// Start starts the daemon, again after Kill or Stop.
func (b *BIRD) Start() {
	t := b.host.lab.t
	t.Helper()
	argv := []string{testenv.Program("bird"), "-f", "-c", b.conf, "-s", b.ctl}
	if b.Returning {
		argv = append(argv, "-R")
	}
	b.Process = b.host.Start("bird", argv, ProcessOptions{})
	Eventually(t, daemonStart, "host "+b.host.name+": BIRD answers", func() error {
		if !b.Running() {
			return fmt.Errorf("bird has ended: %w: %s", b.err, lastLines(b.Output(), 5))
		}
		_, err := b.Birdc(t.Context(), "show", "status")
		return err
	})
}

// Birdc runs one command of BIRD's control language and returns its answer.
func (b *BIRD) Birdc(ctx context.Context, words ...string) (string, error) {
	out, err := b.host.Run(ctx, append([]string{testenv.Program("birdc"), "-s", b.ctl}, words...)...)
	return string(out), err
}

// Configure replaces the configuration in the running daemon.
func (b *BIRD) Configure(config string) {
	t := b.host.lab.t
	t.Helper()
	b.conf = b.host.lab.File(filepath.Join(b.host.name, "bird.conf"), config)
	if out, err := b.Birdc(t.Context(), "configure"); err != nil {
		t.Fatalf("host %s: configure BIRD: %v: %s", b.host.name, err, out)
	}
}
