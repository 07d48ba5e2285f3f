package ipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/internal/store"
)

// fixed is an Env that a test changes between calls.
type fixed struct{ env Env }

func (f *fixed) Env(context.Context) (*Env, error) {
	env := f.env
	return &env, nil
}

func (f *fixed) Fresh(ctx context.Context) (*Env, error) { return f.Env(ctx) }

// counting counts the calls that reach a store.
type counting struct {
	Store
	reads atomic.Int64 // made side by side
	txns  int
}

func (c *counting) Read(ctx context.Context, keys, prefixes []string) (store.Snapshot, error) {
	c.reads.Add(1)
	return c.Store.Read(ctx, keys, prefixes)
}

func (c *counting) List(ctx context.Context, prefix string, opts store.ListOptions) (store.Page, error) {
	c.reads.Add(1)
	return c.Store.List(ctx, prefix, opts)
}

func (c *counting) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	c.txns++
	return c.Store.Txn(ctx, compares, ops)
}

// rig is a client on an empty memory store.
type rig struct {
	*testing.T
	*Client
	settings *fixed
	memory   *store.Memory
	reader   Store // of all contents
}

func newRig(t *testing.T, pools ...Pool) *rig {
	m := store.NewMemory()
	f := &fixed{Env{Pools: pools, Now: time.Unix(1_800_000_000, 0)}}
	return &rig{T: t, Client: NewClient(m, f), settings: f, memory: m, reader: m}
}

// other returns a rig of another client on the same store.
func (r *rig) other() *rig {
	o := *r
	o.Client = NewClient(r.memory.Open(), r.settings)
	return &o
}

func (r *rig) pass(d time.Duration) { r.settings.env.Now = r.settings.env.Now.Add(d) }

// pool makes one from NAME=CIDR/BLOCKSIZE, as in "a=10.0.0.0/24/26".
func pool(text string) Pool {
	name, rest, _ := strings.Cut(text, "=")
	i := strings.LastIndexByte(rest, '/')
	p := Pool{Name: name, CIDR: netip.MustParsePrefix(rest[:i])}
	if _, err := fmt.Sscan(rest[i+1:], &p.BlockSize); err != nil {
		panic(err)
	}
	return p
}

func mustSelector(text string) *selector.Selector {
	s, err := selector.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func external() Owner { return Owner{Kind: OwnerExternal} }

// ask is a request for n IPv4 addresses.
func ask(node, handle string, n int) Request {
	return Request{Node: node, Handle: handle, Owner: external(), IPv4: n, Partial: true}
}

func (r *rig) allocate(req Request) *Result {
	r.Helper()
	got, err := r.Allocate(r.Context(), req)
	if err != nil {
		r.Fatalf("allocate for %s: %v", req.Node, err)
	}
	return got
}

func (r *rig) one(req Request) Allocation {
	r.Helper()
	req.Partial = false
	return r.allocate(req).Allocations[0]
}

// do runs one step.
func (r *rig) do(work func(*Step) error) error {
	_, err := r.Do(r.Context(), "", func(_ context.Context, s *Step) error { return work(s) })
	return err
}

// read returns everything that the store holds.
func (r *rig) read() *Contents {
	r.Helper()
	c, err := ReadContents(r.Context(), r.reader)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

// consistent fails when a check of the store finds anything.
func (r *rig) consistent() {
	r.Helper()
	for _, p := range r.read().Check(&r.settings.env).Problems {
		r.Errorf("check: %s", p)
	}
}

// affinities renders the affinities: "node cidr state".
func (r *rig) affinities() []string {
	r.Helper()
	var out []string
	for _, a := range r.read().Affinities {
		out = append(out, fmt.Sprintf("%s %s %s", a.Node, a.CIDR, a.State))
	}
	slices.Sort(out)
	return out
}

func borrowed(all []Allocation) int {
	n := 0
	for _, a := range all {
		if a.Borrowed {
			n++
		}
	}
	return n
}

// wantShort checks how many addresses came, and why no more.
func wantShort(t *testing.T, got *Result, n int, kind error) {
	t.Helper()
	if len(got.Allocations) != n {
		t.Errorf("%d addresses, wanted %d", len(got.Allocations), n)
	}
	seen := make(map[netip.Addr]bool)
	for _, a := range got.Allocations {
		if seen[a.Address] {
			t.Errorf("%s twice", a.Address)
		}
		seen[a.Address] = true
	}
	switch {
	case kind == nil && len(got.Short) > 0:
		t.Errorf("short: %v", got.Short[0])
	case kind != nil && (len(got.Short) != 1 || !errors.Is(got.Short[0], kind)):
		t.Errorf("short %v, wanted %v", got.Short, kind)
	}
}
