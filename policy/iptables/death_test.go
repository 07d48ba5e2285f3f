package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// death is a change in the middle of which a process is killed: from what is in
// force to an update of it. A probe is an address of w1 or of the outside, from
// which something is reached or not.
type death struct {
	name   string
	old    func() *policy.Update
	change func() *policy.Update
}

// dyingEnv has the test binary do the change of that name, and nothing else.
const dyingEnv = "VROUTER_TEST_DYING"

func TestMain(m *testing.M) {
	name := os.Getenv(dyingEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	flavour, name, _ := strings.Cut(name, " ")
	for _, d := range deaths() {
		if d.name != name {
			continue
		}
		if err := d.run(Flavour(flavour)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	fmt.Fprintf(os.Stderr, "no change is called %q\n", name)
	os.Exit(1)
}

func (d *death) run(flavour Flavour) error {
	plane, err := New(Options{Flavour: flavour})
	if err != nil {
		return err
	}
	if err := plane.Sync(context.Background(), d.old()); err != nil {
		return err
	}
	return plane.Apply(context.Background(), d.change())
}

// deaths change a rule with its sets, and put policy before the filter table
// and take it away.
func deaths() []death {
	without := func() *policy.Update { return withHost(false) }
	with := func() *policy.Update { return withHost(true) }
	return []death{
		{"rule", members123, func() *policy.Update {
			u, after := &policy.Update{}, update()
			get := after.Policies[policyID("get")]
			get.Ingress[1].Source.Sets = []policy.SetID{"b"}
			u.Policies = map[resource.ID]*policy.Policy{get.ID: get}
			u.Sets = map[policy.SetID]*policy.SetChange{
				"a": {Kind: policy.Networks, Gone: true},
				"b": {Kind: policy.Addresses, New: true, Add: sources(2, 3)},
			}
			return u
		}},
		{"early", without, func() *policy.Update {
			u := with()
			u.Settings, u.Sets, u.Endpoints = nil, nil, nil
			return u
		}},
		{"late", with, func() *policy.Update {
			u, before := without(), with()
			u.Settings, u.Sets, u.Endpoints = nil, nil, nil
			for id := range before.Pipelines {
				if _, still := u.Pipelines[id]; !still {
					u.Pipelines[id] = nil
				}
			}
			return u
		}},
	}
}

// sources are addresses of w1, by number.
func sources(numbers ...int) []policy.Member {
	var out []policy.Member
	for _, n := range numbers {
		for _, a := range sourceAddrs(n) {
			out = append(out, policy.Member{Prefix: netip.PrefixFrom(a, a.BitLen())})
		}
	}
	return out
}

func sourceAddrs(n int) []netip.Addr {
	return []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.65.1.%d", n)), netip.MustParseAddr(fmt.Sprintf("fd00:65::1:%d", n))}
}

func members123() *policy.Update {
	u := update()
	u.Sets["a"].Add = sources(1, 2)
	return u
}

// withHost has an endpoint of the host that lets pings in and nothing out, and
// with early also without connection tracking.
func withHost(early bool) *policy.Update {
	u := update()
	ping, outside := policyID("ping"), members("192.0.2.1/32", "2001:db8::1/128")
	allow := func(protocol uint8) policy.Rule {
		return policy.Rule{Action: policy.Allow, Protocol: protocol}
	}
	in := []policy.Rule{allow(policy.ProtocolICMP), allow(policy.ProtocolICMPv6)}
	for i := range in {
		in[i].Index = i
		in[i].Source.Sets = []policy.SetID{"outside"}
	}
	u.Sets["outside"] = &policy.SetChange{Kind: policy.Addresses, New: true, Add: outside}
	u.Policies[ping] = &policy.Policy{ID: ping, Ingress: in, Egress: []policy.Rule{allow(policy.ProtocolICMP), allow(policy.ProtocolICMPv6)}}
	tiers := []policy.Tier{{Name: "default", End: policy.Deny, Policies: []policy.Ref{{ID: ping}}}}
	u.Pipelines["in"] = &policy.Pipeline{ID: "in", Direction: policy.Ingress, End: policy.Deny, Tiers: tiers}
	u.Pipelines["out"] = &policy.Pipeline{ID: "out", Direction: policy.Egress, End: policy.Deny}
	h := &policy.HostEndpoint{Interface: "eth0", Normal: policy.Pair{Ingress: "in", Egress: "out"}}
	if early {
		u.Pipelines["early-in"] = &policy.Pipeline{ID: "early-in", Direction: policy.Ingress, End: policy.Pass, Tiers: tiers}
		u.Pipelines["early-out"] = &policy.Pipeline{ID: "early-out", Direction: policy.Egress, End: policy.Pass, Tiers: tiers}
		h.Untracked = policy.Pair{Ingress: "early-in", Egress: "early-out"}
	}
	u.HostEndpoints = map[string]*policy.HostEndpoint{"eth0": h}
	return u
}

// TestDeathInTheMiddle kills a process before each program that it runs for a
// change, and after the last. Whatever passes then passed before the change or
// passes after it, and so does what is dropped; the next process finishes.
func TestDeathInTheMiddle(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		flavour, site := s.plane.Flavour(), t
		outside := s.host.Lab().Host("outside")
		s.host.Lab().Link(s.host.Port("eth0", "192.0.2.254/24", "2001:db8::fe/64"),
			outside.Port("eth0", "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64"))
		for n := 1; n <= 4; n++ {
			for _, a := range sourceAddrs(n) {
				p := netip.PrefixFrom(a, a.BitLen()).String()
				s.workloads[0].AddAddr("eth0", p)
				s.host.MustRun("ip", "route", "replace", p, "dev", "cali1")
			}
		}
		for _, d := range deaths() {
			t.Run(d.name, func(t *testing.T) {
				s.sync(t, d.old())
				rules, before := ours(s.save()), s.verdicts(outside)
				s.apply(t, d.change())
				after := s.verdicts(outside)
				t.Logf("from %s to %s", before, after)
				programs := 0
				for survived := false; !survived; programs++ {
					s.start(site, flavour) // as the next process
					s.sync(t, d.old())
					if now := ours(s.save()); now != rules {
						t.Fatalf("the next process leaves\n%s\nand there was\n%s", now, rules)
					}
					survived = s.dies(t, d.name, programs)
					got := s.verdicts(outside)
					for i := range got {
						if got[i] != before[i] && got[i] != after[i] {
							t.Errorf("after %d programs: %s, before the change %s, after it %s", programs, got, before, after)
							break
						}
					}
				}
				if programs < 2 {
					t.Error("the change has run no program")
				}
			})
		}
	})
}

// verdicts is a letter for each probe: + passes, - does not.
func (s *site) verdicts(outside *lab.Host) string {
	type probe struct {
		from       *lab.Host
		source, to netip.Addr
	}
	var probes []probe
	v4, v6 := workloadAddr(2)
	for n := 1; n <= 4; n++ {
		a := sourceAddrs(n)
		probes = append(probes, probe{s.workloads[0].Host, a[0], v4}, probe{s.workloads[0].Host, a[1], v6})
	}
	for n := 1; n <= 2; n++ {
		probes = append(probes,
			probe{outside, netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", n)), netip.MustParseAddr("192.0.2.254")},
			probe{outside, netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", n)), netip.MustParseAddr("2001:db8::fe")})
	}
	out := bytes.Repeat([]byte{'-'}, len(probes))
	var wg sync.WaitGroup
	for i, p := range probes {
		wg.Go(func() {
			if p.from.PingFrom(p.source, p.to) == nil {
				out[i] = '+'
			}
		})
	}
	wg.Wait()
	return string(out)
}

// dies has a process do a change, and be killed after so many programs that
// write; survived: it has needed no more.
func (s *site) dies(t *testing.T, name string, programs int) (survived bool) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("left", strconv.Itoa(programs))
	for _, f := range families() {
		program := s.plane.tools.program(f, "-restore")
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		write(program, fmt.Sprintf(`#!/bin/sh
exec 9>>%[1]s/lock
flock 9
left=$(cat %[1]s/left)
if [ $left = 0 ]; then kill -KILL $PPID; exit 1; fi
%[2]s "$@" || exit
echo $((left-1)) >%[1]s/left
`, dir, path))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	err = s.host.Do(func() error {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), dyingEnv+"="+string(s.plane.Flavour())+" "+name, "PATH="+dir+":"+os.Getenv("PATH"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			return nil
		}
		if survived = err == nil; !survived {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return survived
}
