package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/projectvrouter/vrouter/internal/store"
)

// lease is a lease that the library renews, every third of its time.
type lease struct {
	store  *Store
	id     clientv3.LeaseID
	cancel context.CancelFunc // ends the renewals
	lost   chan struct{}
}

// Grant implements store.Store. etcd counts in whole seconds: ttl is rounded
// up.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (store.Lease, error) {
	seconds := max(int64((ttl+time.Second-1)/time.Second), 1)
	var granted *clientv3.LeaseGrantResponse
	var renewed <-chan *clientv3.LeaseKeepAliveResponse
	// Not require-leader: a leader lost for a moment would end the renewals,
	// although the lease lives on.
	renewing, cancel := context.WithCancel(s.ctx)
	err := s.do(ctx, func(ctx context.Context, cli *client) (err error) {
		if granted, err = cli.Grant(ctx, seconds); err != nil {
			return err
		}
		renewed, err = cli.KeepAlive(renewing, granted.ID)
		return err
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("grant lease: %w", err)
	}
	l := &lease{store: s, id: granted.ID, cancel: cancel, lost: make(chan struct{})}
	ended := !s.spawn(func() {
		// The library closes the channel when the server no longer knows the
		// lease, and when its time has passed without a renewal.
		for range renewed {
		}
		cancel()
		close(l.lost)
	})
	if ended {
		cancel()
		return nil, fmt.Errorf("grant lease: %w", store.ErrClosed)
	}
	return l, nil
}

// ID implements store.Lease.
func (l *lease) ID() store.LeaseID { return store.LeaseID(l.id) }

// Lost implements store.Lease.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Revoke implements store.Lease.
func (l *lease) Revoke(ctx context.Context) error {
	l.cancel()
	err := l.store.do(ctx, func(ctx context.Context, cli *client) error {
		_, err := cli.Revoke(ctx, l.id)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNoLease) {
		return fmt.Errorf("revoke lease %x: %w", int64(l.id), err)
	}
	return nil
}
