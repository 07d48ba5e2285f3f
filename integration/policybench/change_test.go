package policybench

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// change is one change of the cluster, and what takes it back.
type change struct {
	name     string
	do, undo func(r *policy.Resolver) error
}

func (c *cluster) changes() []change {
	put := func(obj resource.Object) func(*policy.Resolver) error {
		return func(r *policy.Resolver) error {
			r.Put(obj)
			return nil
		}
	}
	remove := func(id resource.ID) func(*policy.Resolver) error {
		return func(r *policy.Resolver) error {
			r.Delete(id)
			return nil
		}
	}
	version := func(v int) func(*policy.Resolver) error {
		return func(r *policy.Resolver) error {
			p, err := c.policy(changedOne, v)
			if err == nil {
				r.Put(p)
			}
			return err
		}
	}
	member, endpoint := c.member("large", 1<<23), c.endpoint(c.endpoints)
	return []change{
		{"rule", version(1), version(0)},
		{"member", put(member), remove(member.ID)},
		{"endpoint", put(endpoint), remove(endpoint.ID)},
	}
}

// watched is a dataplane that tells when a call has returned.
type watched struct {
	policy.Dataplane
	done chan error
}

func (w *watched) Sync(ctx context.Context, u *policy.Update) error {
	err := w.Dataplane.Sync(ctx, u)
	w.done <- err
	return err
}

func (w *watched) Apply(ctx context.Context, u *policy.Update) error {
	err := w.Dataplane.Apply(ctx, u)
	w.done <- err
	return err
}

// desk is a dataplane with everything in force, and a resolver before it.
type desk struct {
	plane     plane
	host      *lab.Host
	resolver  *policy.Resolver
	dataplane policy.Dataplane
	bare      *bareChain // beside a dataplane on iptables; nil: none
}

// newDesk measures the start, too: over nothing, and as a process does that
// finds everything there.
func newDesk(t testing.TB, l *lab.Lab, p plane, c *cluster, starts *rounds) *desk {
	t.Helper()
	d := &desk{plane: p, host: l.Host(p.name), resolver: policy.NewResolver(node)}
	if err := c.fill(d.resolver); err != nil {
		t.Fatal(err)
	}
	all := d.resolver.All()
	for _, name := range []string{"from nothing", "restart"} {
		if d.dataplane != nil {
			if err := d.dataplane.Close(); err != nil {
				t.Fatal(err)
			}
		}
		before := heap()
		var err error
		if d.dataplane, err = p.open(int(d.host.NetNS())); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := d.dataplane.Sync(t.Context(), all); err != nil {
			t.Fatalf("%s: %s: %v", p.name, name, err)
		}
		starts.add(p.name, name+", ms", ms(time.Since(begun)))
		starts.add(p.name, "heap, MiB", float64(heap()-before)/(1<<20))
	}
	t.Cleanup(func() { d.dataplane.Close() })
	if p.flavour != "" {
		d.bare = newBareChain(t, d.host, p.flavour)
	}
	return d
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// direct does a change by hand: resolving and applying are measured apart.
func (d *desk) direct(ctx context.Context, ch change, r *rounds) error {
	step := func(f func(*policy.Resolver) error) (resolve, apply time.Duration, err error) {
		begun := time.Now()
		if err := f(d.resolver); err != nil {
			return 0, 0, err
		}
		u := d.resolver.Drain()
		resolve = time.Since(begun)
		if u.IsEmpty() {
			return 0, 0, fmt.Errorf("%s: nothing comes of it", ch.name)
		}
		begun = time.Now()
		err = d.dataplane.Apply(ctx, u)
		return resolve, time.Since(begun), err
	}
	resolve, apply, err := step(ch.do)
	if err != nil {
		return err
	}
	r.add("resolver", ch.name, ms(resolve))
	r.add(d.plane.name, ch.name, ms(apply))
	_, _, err = step(ch.undo)
	return err
}

// byTable does changes over a running table, from the resource to the kernel.
func (d *desk) byTable(t testing.TB, turns int, changes []change, r *rounds) {
	t.Helper()
	w := &watched{Dataplane: d.dataplane, done: make(chan error)}
	table := policy.NewTable(d.resolver, w, policy.Options{ReadBack: -1})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- table.Run(ctx) }()
	if err := <-w.done; err != nil {
		t.Fatalf("%s: %v", d.plane.name, err)
	}
	for range turns {
		for _, ch := range changes {
			for n, f := range []func(*policy.Resolver) error{ch.do, ch.undo} {
				begun := time.Now()
				err := f(d.resolver)
				if err == nil {
					err = <-w.done
				}
				if err != nil {
					t.Fatalf("%s: %s: %v", d.plane.name, ch.name, err)
				}
				if n == 0 {
					r.add(d.plane.name+", resolver and table", ch.name, ms(time.Since(begun)))
				}
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// changing is a run over one size.
type changing struct {
	cluster cluster
	planes  []plane
}

// run starts every dataplane, and gives each its turn with every change.
func (s *changing) run(t testing.TB, starts, times *rounds, loop func() bool) {
	t.Helper()
	testenv.Need(t, "root", "program:nft", "program:ipset", "program:iptables-legacy-restore", "program:iptables-nft-restore")
	l := lab.New(t, "polbench")
	c := &s.cluster
	var desks []*desk
	for _, p := range s.planes {
		desks = append(desks, newDesk(t, l, p, c, starts))
	}
	script := newScript(t, l, c)
	turns := 0
	for ; loop(); turns++ {
		for _, ch := range c.changes() {
			for _, d := range desks {
				err := d.direct(t.Context(), ch, times)
				if err == nil && d.bare != nil && ch.name == "rule" {
					err = d.bare.measure("bare "+d.plane.name+"-restore", ch.name, times)
				}
				if err != nil {
					t.Fatalf("%s: %v", d.plane.name, err)
				}
			}
			if err := script.measure(ch.name, times); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, d := range desks {
		d.byTable(t, turns, c.changes(), times)
	}
}

// BenchmarkChange is one rule, one member, one endpoint that changes among many
// policies of ten rules each and many members of one set.
func BenchmarkChange(b *testing.B) {
	for _, policies := range upToLimit(100, 1000, 10_000) {
		for _, members := range []int{10_000, 100_000} {
			b.Run(fmt.Sprintf("policies=%d/members=%d", policies, members), func(b *testing.B) {
				s := changing{cluster: cluster{policies: policies, endpoints: 200, rules: 10, members: members}, planes: planes()}
				var starts, times rounds
				s.run(b, &starts, &times, b.Loop)
				b.ReportMetric(0, "ns/op") // a round mixes what must not be added up
				starts.log(b, "start", "%.0f")
				times.log(b, "ms", "%.2f")
			})
		}
	}
}

// TestChange does every change once among a few.
func TestChange(t *testing.T) {
	s := changing{cluster: cluster{policies: 20, endpoints: 10, rules: 3, members: 100}, planes: planes()}
	var starts, times rounds
	left := 2
	s.run(t, &starts, &times, func() bool { left--; return left >= 0 })
	starts.log(t, "start", "%.0f")
	times.log(t, "ms", "%.2f")
}

var errNoChain = errors.New("no chain with the rule that changes")
