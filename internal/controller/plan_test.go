package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

var testLimits = Limits{HoldOff: 30 * time.Second, Retire: 5 * time.Minute}

// cluster is a world that a test moves, and a clock.
type cluster struct {
	t      *testing.T
	world  *world
	memory *memory
	now    time.Time
	limits Limits
}

// newCluster has hosts h1 and h2, and of group "g" the candidates that are
// named, such as a1 in rack a.
func newCluster(t *testing.T, count int, names ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, world: newWorld(), memory: newMemory(), limits: testLimits, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	chosen, err := selector.Parse("has(candidate)")
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := selector.Parse("!has(candidate)")
	if err != nil {
		t.Fatal(err)
	}
	c.world.groups["g"] = &resource.ReflectorGroup{
		Meta:         resource.Meta{ID: resource.ID{Kind: resource.KindReflectorGroup, Name: "g"}},
		NodeSelector: hosts,
		Election:     &resource.ReflectorElection{Count: count, Candidates: chosen, TopologyKey: "rack"},
	}
	for _, h := range []string{"h1", "h2"} {
		c.world.nodes[h] = &resource.Node{Meta: resource.Meta{ID: resource.ID{Kind: resource.KindNode, Name: h}}}
		c.world.live[h] = "boot"
	}
	for _, n := range names {
		c.world.nodes[n] = &resource.Node{Meta: resource.Meta{
			ID:     resource.ID{Kind: resource.KindNode, Name: n},
			Labels: map[string]string{"candidate": "", "rack": n[:1]},
		}}
		c.world.live[n] = "boot"
	}
	return c
}

// serve has a node report the hosts that it serves.
func (c *cluster) serve(node string, hosts ...string) {
	c.world.reports[node] = &vrouterv1.ReflectorReport{BootId: proto.String(c.world.live[node]), Served: hosts}
}

// members lets time pass, and is what the group has then: "a1 b1(leaving)".
func (c *cluster) members(after time.Duration) string {
	c.t.Helper()
	c.now = c.now.Add(after)
	decisions, _ := plan(c.world, c.memory, c.limits, c.now)
	d := decisions["g"]
	var words []string
	for _, m := range d.members {
		word := m.Node
		if m.Leaving {
			word += "(leaving)"
		}
		words = append(words, word)
	}
	c.world.memberships["g"] = &resource.ReflectorMembership{
		Meta: resource.Meta{ID: resource.ID{Name: "g"}}, Members: d.members,
	}
	return strings.Join(words, " ")
}

func (c *cluster) want(step string, after time.Duration, members string) {
	c.t.Helper()
	if got := c.members(after); got != members {
		c.t.Errorf("%s: %q, want %q", step, got, members)
	}
}

func TestMakeBeforeBreak(t *testing.T) {
	c := newCluster(t, 2, "a1", "b1")
	c.want("elected", 0, "a1 b1")
	c.serve("a1", "h1", "h2")
	c.serve("b1", "h1", "h2")

	c.world.nodes["b2"] = &resource.Node{Meta: resource.Meta{
		ID: resource.ID{Name: "b2"}, Labels: map[string]string{"candidate": "", "rack": "b"},
	}}
	c.world.live["b2"] = "boot"
	c.want("another candidate moves nobody", 0, "a1 b1")

	delete(c.world.live, "b1")
	c.want("a lease is lost", time.Second, "a1 b1")
	c.want("within the hold-off", 20*time.Second, "a1 b1")
	c.world.live["b1"] = "again"
	c.want("it was a restart", time.Second, "a1 b1")
	delete(c.world.live, "b1")
	c.want("lost again", time.Hour, "a1 b1")
	c.want("it is dead", 31*time.Second, "a1 b1(leaving) b2")
	c.want("the new one does not serve", time.Second, "a1 b1(leaving) b2")
	c.serve("b2", "h1")
	c.want("not all", time.Second, "a1 b1(leaving) b2")
	delete(c.world.live, "h2")
	c.want("but all that live", time.Second, "a1 b2")
}

func TestNodeThatIsDeleted(t *testing.T) {
	c := newCluster(t, 2, "a1", "b1", "c1")
	c.members(0)
	elected := c.world.memberships["g"].Members
	delete(c.world.nodes, elected[0].Node)
	got := c.members(0)
	if strings.Contains(got, elected[0].Node) || len(strings.Fields(got)) != 2 || strings.Contains(got, "leaving") {
		t.Errorf("%s was deleted: %s", elected[0].Node, got)
	}
}

func TestRetireIsBounded(t *testing.T) {
	c := newCluster(t, 1, "a1")
	c.want("elected", 0, "a1")
	c.world.nodes["a1"].Drain = &resource.NodeDrain{}
	c.want("nobody takes the place of one that is drained", 0, "a1")
	c.world.nodes["b1"] = &resource.Node{Meta: resource.Meta{
		ID: resource.ID{Name: "b1"}, Labels: map[string]string{"candidate": "", "rack": "b"},
	}}
	c.world.live["b1"] = "boot"
	c.want("somebody does", 0, "a1(leaving) b1")
	decisions, next := plan(c.world, c.memory, c.limits, c.now)
	if next != testLimits.Retire {
		t.Errorf("the next plan is in %s", next)
	}
	want := []string{"a1 Leaving", "b1 Joining"}
	var got []string
	for _, m := range decisions["g"].status.Members {
		got = append(got, m.GetNode()+" "+m.GetState())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	c.want("until the limit", testLimits.Retire, "b1")
}

func TestGroupStatus(t *testing.T) {
	for _, c := range []struct {
		name     string
		count    int
		nodes    []string
		problems string
	}{
		{"none", 2, nil, "there is no reflector: its hosts stay in the mesh"},
		{"too few", 2, []string{"a1"}, "1 of 2 reflectors: there are too few candidates"},
		{"one rack", 2, []string{"a1", "a2"}, "all reflectors have the same rack"},
		{"as it should be", 2, []string{"a1", "b1"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCluster(t, c.count, c.nodes...)
			cl.members(0)
			decisions, _ := plan(cl.world, cl.memory, cl.limits, cl.now)
			if got := strings.Join(decisions["g"].status.GetProblems(), "; "); got != c.problems {
				t.Errorf("%q, want %q", got, c.problems)
			}
		})
	}
}

// TestReportOfAnotherLife shows that what a daemon said before it was started
// again does not count.
func TestReportOfAnotherLife(t *testing.T) {
	c := newCluster(t, 1, "a1")
	c.members(0)
	c.serve("a1", "h1", "h2")
	c.world.live["a1"] = "another"
	decisions, _ := plan(c.world, c.memory, c.limits, c.now)
	if got := decisions["g"].status.Members[0].GetState(); got != stateJoining {
		t.Errorf("it is %s", got)
	}
}

// TestPlanWalk moves a cluster at random. However it goes: nobody who serves
// leaves before those that stay serve, reflectors are as many and as spread as
// those that live allow once it is quiet, and then nothing moves.
func TestPlanWalk(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	c := newCluster(t, 2, "a1", "a2", "b1", "b2", "c1")
	c.limits.Retire = 1000 * time.Hour // the limit is the one way to be left with none
	names := []string{"a1", "a2", "b1", "b2", "c1"}
	for step := range 3000 {
		node := names[random.IntN(len(names))]
		switch random.IntN(4) {
		case 0:
			delete(c.world.live, node)
			delete(c.world.reports, node)
		case 1:
			c.world.live[node] = fmt.Sprint(step)
		case 2:
			if _, live := c.world.live[node]; live {
				c.serve(node, "h1", "h2")
			}
		}
		before := c.serving()
		c.members(time.Duration(random.IntN(40)) * time.Second)
		if after := c.serving(); len(before) > 0 && len(after) == 0 {
			t.Fatalf("step %d: %v served, and nobody is left", step, before)
		}
		if random.IntN(10) == 0 {
			c.settle(step)
		}
	}
}

// serving is the members that serve all hosts.
func (c *cluster) serving() []string {
	var all []string
	m := c.world.memberships["g"]
	if m == nil {
		return nil
	}
	for _, m := range m.Members {
		if slices.Contains(c.world.served(m.Node), "h1") {
			all = append(all, m.Node)
		}
	}
	return all
}

// settle lets everything come to rest, and looks at it.
func (c *cluster) settle(step int) {
	c.t.Helper()
	for range 3 {
		c.members(time.Hour)
		for node := range c.world.live {
			c.serve(node, "h1", "h2")
		}
	}
	racks, alive := map[string]bool{}, 0
	for node := range c.world.live {
		if n := c.world.nodes[node]; n.Labels["rack"] != "" {
			racks[n.Labels["rack"]] = true
			alive++
		}
	}
	rest := c.members(0)
	elected := strings.Fields(rest)
	if alive > 0 && (len(elected) != min(2, alive) || strings.Contains(rest, "leaving")) {
		c.t.Fatalf("step %d: %d live, %q at rest", step, alive, rest)
	}
	if len(elected) == 2 && len(racks) > 1 && elected[0][0] == elected[1][0] {
		c.t.Fatalf("step %d: all in one rack: %q", step, rest)
	}
	if again := c.members(time.Hour); again != rest {
		c.t.Fatalf("step %d: %q at rest, and then %q", step, rest, again)
	}
}
