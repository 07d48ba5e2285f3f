package nftables

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// ours is what is in the table, with the handles of all its parts: equal text
// means that nothing was written.
func (s *site) ours() string {
	list := s.host.MustRun("nft", "-s", "-a", "list", "table", "inet", tableName)
	_, parts, _ := strings.Cut(list, "\n\n") // without the line of the owner
	return parts
}

// setUpdate lets members of a set in.
func setUpdate() *policy.Update {
	u := baseUpdate(2)
	u.Sets["web"] = &policy.SetChange{Kind: policy.Networks, New: true, Add: []policy.Member{
		{Prefix: prefixes("10.65.0.1/32")[0]}, {Prefix: prefixes("fd00:65::/120")[0]},
	}}
	open := ingress("ingress", "web", policy.Rule{
		Action: policy.Allow, Source: policy.Side{Sets: []policy.SetID{"web"}},
	})
	for id, p := range open.Policies {
		u.Policies[id] = p
	}
	u.Pipelines["ingress"] = open.Pipelines["ingress"]
	return u
}

// memberSet is where the addresses of the set of setUpdate are.
var memberSet = setOf(numberOf("web"), policy.Networks, ipv4, 32).name()

func TestRestartWritesNothing(t *testing.T) {
	testenv.Need(t, "program:nft")
	s := newSite(t, 2)
	u := setUpdate()
	s.sync(t, u)
	before := s.ours()
	s.sync(t, u)
	if after := s.ours(); after != before {
		t.Errorf("a second sync wrote\n%s\nbefore\n%s", after, before)
	}
	s.plane.Close()
	s.check(t, "w1 > w2 ping")
	s.check(t, "out !> w2 ping")
	counted := s.ours()
	s.plane = s.open(t)
	s.sync(t, u)
	if after := s.ours(); after != counted {
		t.Errorf("a restart wrote\n%s\nbefore\n%s", after, counted)
	}
}

// TestOthersCannotTouch shows what the flags owner and persist do.
func TestOthersCannotTouch(t *testing.T) {
	testenv.Need(t, "program:nft", "kernel:6.9")
	s := newSite(t, 2)
	s.sync(t, setUpdate())
	if s.plane.held.flags&protection != protection {
		t.Error("the table is not protected")
	}
	before := s.ours()
	open := talks(s.workloads[0].Talks(s.workloads[1], time.Minute))
	for _, command := range []string{
		"flush ruleset", "delete table inet vrouter", "flush chain inet vrouter pl-ingress", "delete set inet vrouter " + memberSet,
		"insert rule inet vrouter pl-ingress accept", "flush set inet vrouter " + memberSet,
	} {
		_, err := s.host.Run(t.Context(), "nft", command)
		if after := s.ours(); after != before {
			t.Errorf("nft %s (%v) left\n%s", command, err, after)
		}
		open.goOn(t, command)
	}
}

// TestRepair takes the protection away and has everything broken in turn. What
// events tell is repaired at once; how long that takes is logged.
func TestRepair(t *testing.T) {
	testenv.Need(t, "program:nft")
	s := newSite(t, 2)
	s.plane.protection = 0
	u := setUpdate()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s.sync(t, u)
	// A table tries again what fails because the next act came in between.
	clock := &timed{Dataplane: s.plane}
	table := policy.NewTable(fixed{u}, clock, policy.Options{ReadBack: -1})
	go func() { ended <- table.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	v4, _ := workloadAddr(2)
	held := s.workloads[0].StartPing(v4, lab.PingOptions{Interval: time.Millisecond})
	open := talks(s.workloads[0].Talks(s.workloads[1], time.Minute))
	want := s.shape()
	var took []time.Duration
	repaired := func(command string) {
		t.Helper()
		begun := time.Now()
		s.host.MustRun("nft", command)
		lab.Eventually(t, time.Minute, "repair after "+command, func() error {
			if got := s.shape(); !slices.Equal(sorted(got), sorted(want)) {
				return errors.New("still differs:\n" + got)
			}
			return nil
		})
		took = append(took, clock.synced().Sub(begun))
		open.goOn(t, command)
	}
	for _, command := range []string{
		"flush ruleset",
		"delete table inet vrouter",
		"flush chain inet vrouter pl-ingress",
		"flush chain inet vrouter forward-to",
		"flush table inet vrouter; delete set inet vrouter " + memberSet,
		"flush set inet vrouter workloads",
		"flush set inet vrouter " + memberSet,
		"add element inet vrouter " + memberSet + " { 0x1 . 0x2 . 10.9.9.9 }",
		"insert rule inet vrouter pl-ingress accept",
		"add chain inet vrouter stranger",
		"add set inet vrouter stranger { type ipv4_addr; }",
		"flush table inet vrouter",
	} {
		repaired(command)
	}
	if r := held.Stop(); r.Missing() > 0 {
		t.Errorf("an open connection lost packets: %s", r)
	}
	repaired("insert rule inet vrouter forward-to drop") // what it drops is sent again
	slices.Sort(took)
	t.Logf("from the start of nft to the end of the repair: median %v, at most %v", took[len(took)/2], took[len(took)-1])
}

// timed tells when everything was last in force.
type timed struct {
	policy.Dataplane
	mu   sync.Mutex // guards the rest
	last time.Time
}

func (d *timed) Sync(ctx context.Context, all *policy.Update) error {
	err := d.Dataplane.Sync(ctx, all)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = time.Now()
	return err
}

func (d *timed) synced() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// talks are open connections.
type talks []*lab.Talk

func (list talks) goOn(t *testing.T, after string) {
	t.Helper()
	for _, talk := range list {
		if err := talk.Say(time.Minute); err != nil {
			t.Errorf("an open connection, after %s: %v", after, err)
		}
	}
}

// TestForeignTable finds a table of our name that others made, with parts of
// our names and other kinds.
func TestForeignTable(t *testing.T) {
	testenv.Need(t, "program:nft")
	s, fresh := newSite(t, 2), newSite(t, 2)
	u := setUpdate()
	fresh.sync(t, u)
	for _, command := range []string{
		"add table inet vrouter",
		"add chain inet vrouter input { type filter hook input priority 5; }",
		"add set inet vrouter workloads { type ipv4_addr; }",
		"add chain inet vrouter stranger",
		"add rule inet vrouter stranger drop",
	} {
		s.host.MustRun("nft", command)
	}
	s.sync(t, u)
	if diff := cmp.Diff(sorted(fresh.shape()), sorted(s.shape())); diff != "" {
		t.Errorf("(-fresh +ours):\n%s", diff)
	}
	before := s.ours()
	s.sync(t, u)
	if after := s.ours(); after != before {
		t.Errorf("a second sync wrote\n%s", after)
	}
	s.check(t, "w1 > w2 ping")
	s.check(t, "out !> w2 ping")
}

// shape is the table without handles and counts.
func (s *site) shape() string {
	out, err := s.host.Run(context.Background(), "nft", "-s", "list", "table", "inet", tableName)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

// fixed is a source that never has news.
type fixed struct{ all *policy.Update }

func (f fixed) Changed() <-chan struct{} { return nil }
func (f fixed) Drain() *policy.Update    { return new(policy.Update) }
func (f fixed) All() *policy.Update      { return f.all }
