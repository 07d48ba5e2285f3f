package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/testenv"
)

// daemonStart is how long a routing daemon or etcd may take until it answers.
// It takes well under a second; the machine may be busy.
const daemonStart = 2 * time.Minute

// FRR is a set of FRRouting daemons in one host, with sockets and files of
// their own.
type FRR struct {
	host      *Host
	dir       string
	daemons   []string
	processes []*Process
}

// FRR starts FRRouting in the host with an integrated configuration as in
// frr.conf, and returns when the configuration is loaded. Zebra and bgpd run
// always; others ("bfdd", "staticd") when named. Needs program:zebra,
// program:bgpd and program:vtysh.
func (h *Host) FRR(config string, others ...string) *FRR {
	t := h.lab.t
	t.Helper()
	f := &FRR{host: h, dir: filepath.Join(h.Dir(), "frr")}
	f.daemons = append([]string{"zebra", "bgpd"}, others...)
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		t.Fatalf("host %s: frr: %v", h.name, err)
	}
	f.write("frr.conf", config)
	f.write("vtysh.conf", "service integrated-vtysh-config\n")
	f.write("empty.conf", "")
	f.Start()
	return f
}

func (f *FRR) write(name, content string) {
	f.host.lab.t.Helper()
	f.host.lab.File(filepath.Join(f.host.name, "frr", name), content)
}

// Start starts the daemons, again after Kill or Stop, and loads frr.conf.
func (f *FRR) Start() {
	t := f.host.lab.t
	t.Helper()
	f.processes = nil
	socket := filepath.Join(f.dir, "zserv.api")
	_ = os.Remove(socket) // left by a zebra that was killed
	for _, d := range f.daemons {
		f.processes = append(f.processes, f.host.Start(d, f.command(d), ProcessOptions{}))
		if d == "zebra" {
			// A daemon that is there before zebra looks for it again ten seconds later.
			Eventually(t, daemonStart, "host "+f.host.name+": zebra listens", func() error {
				_, err := os.Stat(socket)
				return err
			})
		}
	}
	Eventually(t, daemonStart, "host "+f.host.name+": FRR answers", f.answers)
	if out, err := f.host.Run(t.Context(), f.vtysh("-b")...); err != nil {
		t.Fatalf("host %s: load frr.conf: %v\n%s", f.host.name, err, out)
	}
}

// command runs a daemon in the foreground as root: a daemon that changes its
// user would lose the parent-death signal. FRR insists on being in the group
// that may use its terminal sockets.
func (f *FRR) command(daemon string) []string {
	argv := []string{
		testenv.Program(daemon), "-u", "root", "-g", "frrvty",
		"--vty_socket", f.dir,
		"-z", filepath.Join(f.dir, "zserv.api"),
		"-i", filepath.Join(f.dir, daemon+".pid"),
		"-f", filepath.Join(f.dir, "empty.conf"),
		"-P", "0", // no telnet
		"--log", "stdout",
	}
	if daemon == "bfdd" {
		argv = append(argv, "--bfdctl", filepath.Join(f.dir, "bfdd.sock"))
	}
	return argv
}

func (f *FRR) vtysh(args ...string) []string {
	return append([]string{testenv.Program("vtysh"), "--vty_socket", f.dir, "--config_dir", f.dir}, args...)
}

// answers tells whether each daemon has its terminal socket open.
func (f *FRR) answers() error {
	for i, d := range f.daemons {
		if !f.processes[i].Running() {
			return fmt.Errorf("%s has ended: %w: %s", d, f.processes[i].err, lastLines(f.processes[i].Output(), 5))
		}
		if out, err := f.host.Run(f.host.lab.t.Context(), f.vtysh("-d", d, "-c", "show version")...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// Vtysh runs commands, one after the other, and returns what they print.
// Configuration: Vtysh(ctx, "configure", "router bgp 65001", "no neighbor ...").
func (f *FRR) Vtysh(ctx context.Context, commands ...string) (string, error) {
	args := make([]string, 0, 2*len(commands))
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := f.host.Run(ctx, f.vtysh(args...)...)
	return string(out), err
}

// VtyshJSON runs a show command with "json" added and decodes the answer into v.
func (f *FRR) VtyshJSON(ctx context.Context, v any, command string) error {
	out, err := f.Vtysh(ctx, command+" json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

// Process is one of the daemons.
func (f *FRR) Process(daemon string) *Process {
	f.host.lab.t.Helper()
	i := slices.Index(f.daemons, daemon)
	if i < 0 {
		f.host.lab.t.Fatalf("host %s: FRR has no %s, only %s", f.host.name, daemon, strings.Join(f.daemons, ", "))
	}
	return f.processes[i]
}

// Kill kills all daemons as a crash of the router would.
func (f *FRR) Kill() {
	for _, p := range slices.Backward(f.processes) {
		p.Kill()
	}
}
