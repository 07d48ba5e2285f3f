package iptables

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/policy"
)

// What others do to our rules is found and repaired by the next Sync; what is
// theirs stays.
func TestRepair(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		program := s.plane.tools.program(ipv4, "")
		chainOf := policyChain(policyID("get"), policy.Ingress)
		if _, ok := s.plane.held[place{ipv4, filterTable}]; ok {
			t.Fatal("held before a sync")
		}
		s.sync(t, update())
		talks := s.workloads[0].Talks(s.workloads[1], time.Minute)
		denied, _ := workloadAddr(1)
		var took []time.Duration
		for _, c := range []struct {
			name string
			do   func(*testing.T)
		}{
			{"inserts a rule before our jump", func(t *testing.T) {
				s.host.MustRun(program, "-I", "FORWARD", "1", "-j", "ACCEPT")
				if err := s.workloads[1].Ping(denied); err != nil {
					t.Errorf("policy holds in spite of a rule before it, so that a repair proves nothing: %v", err)
				}
			}},
			{"deletes our jump", func(*testing.T) { s.host.MustRun(program, "-D", "FORWARD", "1") }},
			{"appends our jump twice", func(*testing.T) {
				s.host.MustRun(program, "-A", "FORWARD", "-j", "vr-FORWARD")
				s.host.MustRun(program, "-A", "FORWARD", "-j", "vr-FORWARD")
			}},
			{"flushes the table", func(*testing.T) { s.host.MustRun(program, "-F") }},
			{"flushes a chain", func(*testing.T) { s.host.MustRun(program, "-F", "vr-FORWARD") }},
			{"adds a rule to a chain", func(*testing.T) { s.host.MustRun(program, "-I", chainOf, "1", "-j", "DROP") }},
			{"adds a chain like ours", func(*testing.T) { s.host.MustRun(program, "-N", "vr-unheard-of") }},
			{"deletes a rule of a chain", func(*testing.T) { s.host.MustRun(program, "-D", chainOf, "1") }},
			{"deletes everything", func(*testing.T) {
				s.host.MustRun(program, "-F")
				s.host.MustRun(program, "-X")
				s.host.MustRun(program, "-t", "raw", "-F")
				s.host.MustRun(program, "-t", "raw", "-X")
			}},
			{"deletes the sets, and what refers to them", func(t *testing.T) {
				s.host.MustRun(program, "-F")
				s.host.MustRun(s.plane.tools.program(ipv6, ""), "-F")
				s.destroySets(t)
			}},
			{"makes sets of another type", func(t *testing.T) {
				s.host.MustRun(program, "-F")
				s.host.MustRun(s.plane.tools.program(ipv6, ""), "-F")
				s.destroySets(t)
				s.host.MustRun("ipset", "create", "vr4na", "hash:ip")
				s.host.MustRun("ipset", "create", "vr6Na", "hash:net", "family", "inet6")
			}},
			{"changes members", func(*testing.T) {
				s.host.MustRun("ipset", "del", "vr4na", "10.65.0.1")
				s.host.MustRun("ipset", "add", "vr4na", "10.65.0.77")
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				before := ours(s.save())
				c.do(t)
				begun := time.Now()
				s.sync(t, update())
				took = append(took, time.Since(begun))
				if after := ours(s.save()); after != before {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
				s.requirePings(t, true, "after a repair")
				s.requireFirst(t)
				for _, talk := range talks {
					if err := talk.Say(time.Minute); err != nil {
						t.Errorf("an open connection: %v", err)
					}
				}
				n := s.writes.count()
				s.sync(t, update())
				if s.writes.count() != n {
					t.Error("a second sync has written again")
				}
			})
		}
		if err := s.workloads[1].Ping(denied); err == nil {
			t.Error("what is denied passes after the repairs")
		}
		slices.Sort(took)
		t.Logf("a repair: median %v, at most %v", took[len(took)/2], took[len(took)-1])
		if out := s.host.MustRun("ipset", "list", "vr4na"); strings.Contains(out, "10.65.0.77") {
			t.Errorf("a member that a stranger added is still there:\n%s", out)
		}
	})
}

// destroySets removes what the kernel lets go: for nft it may look for a while
// as if rules that are gone asked for a set.
func (s *site) destroySets(t *testing.T) {
	t.Helper()
	for name := range s.plane.known {
		lab.Eventually(t, time.Minute, "the set "+name+" is let go", func() error {
			_, err := s.host.Run(t.Context(), "ipset", "destroy", name)
			return err
		})
	}
}

// requireFirst checks that our jump is the first rule of each of the kernel's
// chains.
func (s *site) requireFirst(t *testing.T) {
	t.Helper()
	for _, hook := range filterTable.hooks() {
		out := s.host.MustRun(s.plane.tools.program(ipv4, ""), "-S", hook)
		rules := strings.Split(strings.TrimSpace(out), "\n")
		if len(rules) < 2 || !strings.HasSuffix(rules[1], "-j vr-"+hook) || strings.Count(out, "vr-"+hook) != 1 {
			t.Errorf("rules of %s:\n%s", hook, out)
		}
	}
}

// ours are the chains and rules of ours in a save, without those of others.
func ours(save string) string {
	var out []string
	for line := range strings.Lines(strip(save)) {
		if strings.HasPrefix(line, ":vr-") || strings.HasPrefix(line, "-A vr-") || strings.Contains(line, "-j vr-") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}
