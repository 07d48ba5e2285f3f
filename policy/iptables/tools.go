package iptables

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	goiptables "github.com/coreos/go-iptables/iptables"
)

// Flavour is which of the kernel's two packet filters iptables writes to. Both
// are there at once, and each sees only its own rules.
type Flavour string

// The flavours. Auto is the one that holds more rules of others, else nft.
const (
	Auto   Flavour = "auto"
	NFT    Flavour = "nft"
	Legacy Flavour = "legacy"
)

// tools are the programs of one flavour, in one network namespace.
type tools struct {
	flavour  Flavour
	netns    namespace
	families []*family
	randomly bool // MASQUERADE knows --random-fully
}

// newTools looks whether a flavour is installed.
func newTools(flavour Flavour, netns namespace) (*tools, error) {
	t := &tools{flavour: flavour, netns: netns, families: []*family{ipv4}}
	ipt, err := goiptables.New(goiptables.Path(t.program(ipv4, "")))
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", t.program(ipv4, ""), err)
	}
	t.randomly = ipt.HasRandomFully()
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		t.families = families()
	}
	for _, f := range t.families {
		for _, suffix := range []string{"-save", "-restore"} {
			if _, err := exec.LookPath(t.program(f, suffix)); err != nil {
				return nil, fmt.Errorf("look for %s: %w", t.program(f, suffix), err)
			}
		}
	}
	return t, nil
}

func (t *tools) program(f *family, suffix string) string {
	name := "iptables-"
	if f == ipv6 {
		name = "ip6tables-"
	}
	return name + string(t.flavour) + suffix
}

// save reads all tables of a family, with counters or without. Tables that
// nobody uses are not made by that.
func (t *tools) save(ctx context.Context, f *family, args ...string) ([]byte, error) {
	out, err := t.run(ctx, "", t.program(f, "-save"), args...)
	if err != nil {
		return nil, fmt.Errorf("read %s tables: %w", f, err)
	}
	return out, nil
}

// read reads what the tables of a family hold.
func (t *tools) read(ctx context.Context, f *family) (map[table]*held, error) {
	data, err := t.save(ctx, f)
	if err != nil {
		return nil, err
	}
	return parseSave(data), nil
}

// lockWait is how long others may hold the lock that writers of legacy take,
// in seconds, before that is a failure that somebody hears of.
const lockWait = "--wait=30"

// restore changes a table, all or nothing.
func (t *tools) restore(ctx context.Context, x transaction) error {
	if x.text == "" {
		return nil
	}
	_, err := t.run(ctx, x.text, t.program(x.place.family, "-restore"), "--noflush", lockWait)
	if err != nil {
		return fmt.Errorf("write %s table %s: %w", x.place.family, x.place.table, err)
	}
	return nil
}

// run starts a program and waits for its end. It does not outlive us: a process
// that starts anew would read what it is about to change. To be killed is safe
// for it, since the kernel takes what it has to say as one.
func (t *tools) run(ctx context.Context, input, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := t.netns.do(cmd.Start); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", program, err, firstLine(stderr.String()))
	}
	return stdout.Bytes(), nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
