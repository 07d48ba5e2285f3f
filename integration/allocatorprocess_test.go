package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/ipam"
)

// allocatorCommand makes the test binary an allocator, with its number and the
// URLs of the store, which commas separate.
const allocatorCommand = "allocator"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == allocatorCommand {
		if err := allocator(os.Args[2], strings.Split(os.Args[3], ",")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	allocators     = 100
	allocatorNodes = 40 // so that two or three contend for the blocks of each
	eachAllocates  = 8  // requests, of one address or two
	// ownerPrefix is where allocators note what they were given, as those do who
	// use an address after they have taken it.
	ownerPrefix = store.ResourcePrefix + "WorkloadEndpoint/crowd/"
)

// allocatorEnv is small enough for blocks to be reclaimed and addresses to be
// borrowed.
func allocatorEnv(now time.Time) *ipam.Env {
	return &ipam.Env{Now: now, Pools: []ipam.Pool{
		{Name: "crowd", CIDR: netip.MustParsePrefix("10.64.0.0/22"), BlockSize: 28}}}
}

// allocatorSettings is ipam.Settings.
type allocatorSettings struct{}

func (allocatorSettings) Env(context.Context) (*ipam.Env, error) {
	return allocatorEnv(time.Now()), nil
}

func (s allocatorSettings) Fresh(ctx context.Context) (*ipam.Env, error) { return s.Env(ctx) }

// crowded is one process of the crowd.
type crowded struct {
	store  *etcd.Store
	client *ipam.Client
}

// allocator takes addresses, notes each time who has them, and gives back every
// third time what it has. It ends when it is done, or with the first error that
// is not of a store that is away.
func allocator(number string, endpoints []string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	s, err := etcd.New(etcd.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer s.Close()
	c := &crowded{s, ipam.NewClient(s, allocatorSettings{})}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(3) // so that some share transactions
	for i := range eachAllocates {
		g.Go(func() error {
			if err := c.use(ctx, fmt.Sprintf("%d-%d", n, i), fmt.Sprint("host", n%allocatorNodes), 1+i%2, i%3 == 2); err != nil {
				return fmt.Errorf("allocator %d, request %d: %w", n, i, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// use takes count addresses for a handle, notes them, and may give them back.
func (c *crowded) use(ctx context.Context, handle, node string, count int, back bool) error {
	key := ownerPrefix + handle
	req := ipam.Request{Node: node, Handle: handle, Owner: ipam.Owner{Kind: ipam.OwnerEndpoint, Key: key},
		IPv4: count, Resume: true}
	var got *ipam.Result
	err := insistent(ctx, func() (err error) {
		got, err = c.client.Allocate(ctx, req)
		return err
	})
	if err != nil {
		return fmt.Errorf("allocate: %w", err)
	}
	compares, ops := []store.Compare{{Key: key}}, []store.Op{{Key: key, Value: []byte(handle)}}
	undo := []store.Op{{Key: key, Delete: true}}
	for _, a := range got.Allocations {
		compares = append(compares, store.Compare{Key: store.AddressKey(a.Address)})
		ops = append(ops, store.Op{Key: store.AddressKey(a.Address), Value: []byte(key)})
		undo = append(undo, store.Op{Key: store.AddressKey(a.Address), Delete: true})
	}
	if err := c.write(ctx, compares, ops); err != nil { // an address that somebody has is a conflict
		return fmt.Errorf("note %d addresses: %w", len(got.Allocations), err)
	}
	if !back {
		return nil
	}
	if err := c.write(ctx, nil, undo); err != nil {
		return fmt.Errorf("note their end: %w", err)
	}
	err = insistent(ctx, func() error {
		_, err := c.client.ReleaseHandle(ctx, node, handle)
		return err
	})
	if err != nil && !errors.Is(err, ipam.ErrNoHandle) { // an attempt whose answer was lost may have released it
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// write writes what the first operation says, once. An attempt whose answer was
// lost may have done it: then it is there.
func (c *crowded) write(ctx context.Context, compares []store.Compare, ops []store.Op) error {
	lost := false
	return insistent(ctx, func() error {
		_, err := c.store.Txn(ctx, compares, ops)
		if errors.Is(err, store.ErrUnavailable) {
			lost = true
		}
		if !lost || !errors.Is(err, store.ErrConflict) {
			return err
		}
		kv, _, found := c.store.Get(ctx, ops[0].Key)
		switch {
		case errors.Is(found, store.ErrUnavailable):
			return found // neither is known
		case found == nil && string(kv.Value) == string(ops[0].Value):
			return nil
		}
		return err
	})
}

// insistent calls f until the store answers, or ctx ends.
func insistent(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond): // others of the crowd have work to do
		}
	}
}
