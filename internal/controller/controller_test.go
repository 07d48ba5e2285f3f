package controller

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// bench is a store with controllers.
type bench struct {
	t     *testing.T
	store *store.Memory
}

func (b *bench) put(msg proto.Message) {
	b.t.Helper()
	resource.Canonicalize(msg)
	value, err := resource.Encode(resource.Successor(msg, nil))
	if err != nil {
		b.t.Fatal(err)
	}
	id := resource.IDOf(msg)
	b.write(store.Op{Key: store.ResourceKey(string(id.Kind), "", id.Name), Value: value})
}

func (b *bench) write(op store.Op) {
	b.t.Helper()
	kv, _, _ := b.store.Get(b.t.Context(), op.Key)
	if _, err := b.store.Txn(b.t.Context(), []store.Compare{{Key: op.Key, ModRevision: kv.ModRevision}}, []store.Op{op}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) node(name, rack string) {
	b.t.Helper()
	b.put(&vrouterv1.Node{Metadata: &vrouterv1.Metadata{Name: proto.String(name), Labels: map[string]string{"rack": rack}}})
	live, _ := json.Marshal(map[string]string{"bootID": "1"})
	b.write(store.Op{Key: store.LiveKey("reflector", name), Value: live})
}

// elected waits until the group has these reflectors.
func (b *bench) elected(want string) {
	b.t.Helper()
	key := store.ResourceKey(string(resource.KindReflectorMembership), "", "g")
	b.until(func() (string, bool) {
		kv, _, err := b.store.Get(b.t.Context(), key)
		if err != nil {
			return err.Error(), false
		}
		raw, err := resource.Decode(resource.KindReflectorMembership, kv.Value, kv.ModRevision)
		if err != nil {
			b.t.Fatal(err)
		}
		var names []string
		for _, m := range raw.(*vrouterv1.ReflectorMembership).GetSpec().GetMembers() {
			names = append(names, m.GetNode())
		}
		got := strings.Join(names, " ")
		return got, got == want
	})
}

func (b *bench) until(holds func() (string, bool)) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		got, ok := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("it stays %q", got)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// leaseTTL is so long that no controller of a test loses the lead because the
// machine was busy.
const leaseTTL = 5 * time.Minute

// run starts a controller; the function that it returns stops it.
func (b *bench) run(name string) (*Controller, func()) {
	b.t.Helper()
	c := New(Options{
		Name: name, Store: b.store, LeaseTTL: leaseTTL, Limits: Limits{HoldOff: time.Hour, Retire: time.Hour},
		Health: telemetry.NewHealth(Conditions()...), Logger: hclog.NewNullLogger(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("controller %s: %v", name, err)
		}
		done <- nil
	}
	b.t.Cleanup(stop)
	return c, stop
}

func (b *bench) leads(c *Controller) {
	b.t.Helper()
	b.until(func() (string, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return "not leading", c.stats.leads
	})
}

func group(count int32) *vrouterv1.ReflectorGroup {
	return &vrouterv1.ReflectorGroup{
		Metadata: &vrouterv1.Metadata{Name: proto.String("g")},
		Spec: &vrouterv1.ReflectorGroupSpec{
			NodeSelector: proto.String("!has(rack)"),
			Election: &vrouterv1.ReflectorElection{
				Count: proto.Int32(count), CandidateSelector: proto.String("has(rack)"), TopologyKey: proto.String("rack"),
			},
		},
	}
}

func TestController(t *testing.T) {
	b := &bench{t: t, store: store.NewMemory()}
	b.node("a1", "a")
	b.node("b1", "b")
	b.put(group(2))
	first, stop := b.run("first")
	b.leads(first)
	b.elected("a1 b1")
	second, _ := b.run("second")
	b.node("c1", "c")
	b.put(group(3))
	b.elected("a1 b1 c1")
	second.mu.Lock()
	if second.stats.leads {
		t.Error("two lead at once")
	}
	second.mu.Unlock()

	stop() // gives the lead up at once
	b.leads(second)
	b.write(store.Op{Key: store.ResourceKey("Node", "", "c1"), Delete: true})
	b.elected("a1 b1")
	b.until(func() (string, bool) {
		kv, _, err := b.store.Get(t.Context(), store.StatusKey(string(resource.KindReflectorGroup), "", "g"))
		s := &vrouterv1.ReflectorGroupStatus{}
		if err == nil {
			err = proto.Unmarshal(kv.Value, s)
		}
		if err != nil {
			return err.Error(), false
		}
		return s.String(), len(s.GetMembers()) == 2 && strings.Contains(strings.Join(s.GetProblems(), ""), "2 of 3")
	})

	b.write(store.Op{Key: groupKey("g"), Delete: true})
	b.until(func() (string, bool) {
		_, _, err := b.store.Get(t.Context(), membershipKey("g"))
		return "still there", err != nil
	})
}
