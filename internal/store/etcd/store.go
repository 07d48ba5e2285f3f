package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Store is a store.Store on etcd.
type Store struct {
	cfg   checked
	conn  *connector
	stats counters

	// ctx ends with Close; watches and renewals of leases live under it.
	ctx    context.Context
	cancel context.CancelFunc

	onClose func() error // stops the embedded server; nil without
	closing sync.Once
	closed  error // what Close found

	mu    sync.Mutex // held while a task starts, so that none does after Close
	tasks sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// New returns a store on an external cluster. It connects on first use and
// fails only on a wrong configuration.
func New(cfg Config) (*Store, error) {
	c, err := cfg.check()
	if err != nil {
		return nil, err
	}
	s := newStore(c)
	s.conn = &connector{cfg: c, watch: s.newConnWatch(), ctx: s.ctx}
	return s, nil
}

func newStore(c checked) *Store {
	s := &Store{cfg: c}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *Store) newConnWatch() *connWatch {
	return &connWatch{told: func(err error) {
		if err == nil {
			s.cfg.Logger.Info("etcd answers again")
			return
		}
		s.cfg.Logger.Warn("connection to etcd failed", "error", err)
	}}
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.cancel()
		s.mu.Unlock()
		s.tasks.Wait()
		s.closed = s.conn.close()
		if s.onClose != nil {
			s.closed = errors.Join(s.closed, s.onClose())
		}
	})
	return s.closed
}

// spawn runs a task that ends with ctx of the store; false: it is closed.
func (s *Store) spawn(task func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.tasks.Go(task)
	return true
}

// do makes one call to etcd in bounded time and gives its error the kind it
// has in the port.
func (s *Store) do(ctx context.Context, call func(context.Context, *client) error) error {
	s.stats.calls.Add(1)
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	// Not the deadline of ctx alone: it may be that of a caller far away, who
	// would wait for an answer until it has passed, and then get none.
	bounded, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	cli, err := s.conn.get(bounded)
	if err == nil {
		err = call(clientv3.WithRequireLeader(bounded), cli)
	}
	if err == nil {
		s.conn.watch.works()
		return nil
	}
	s.stats.failed.Add(1)
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	return translate(ctx, err, s.conn.watch.err())
}

func (s *Store) key(key string) string { return s.cfg.Prefix + key }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.KV, int64, error) {
	var resp *clientv3.GetResponse
	err := s.do(ctx, func(ctx context.Context, cli *client) (err error) {
		resp, err = cli.Get(ctx, s.key(key))
		return err
	})
	if err != nil {
		return store.KV{}, 0, fmt.Errorf("get %s: %w", key, err)
	}
	if len(resp.Kvs) == 0 {
		return store.KV{}, resp.Header.Revision, fmt.Errorf("get %s: %w", key, store.ErrNotFound)
	}
	return s.kv(resp.Kvs[0]), resp.Header.Revision, nil
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, keys, prefixes []string) (store.Snapshot, error) {
	if err := store.CheckRead(keys, prefixes); err != nil {
		return store.Snapshot{}, fmt.Errorf("read %d keys and %d ranges: %w", len(keys), len(prefixes), err)
	}
	reads := make([]clientv3.Op, 0, len(keys)+len(prefixes))
	for _, key := range keys {
		reads = append(reads, clientv3.OpGet(s.key(key)))
	}
	for _, prefix := range prefixes {
		reads = append(reads, clientv3.OpGet(s.key(prefix), clientv3.WithPrefix(), clientv3.WithLimit(store.ReadLimit)))
	}
	var resp *clientv3.TxnResponse
	err := s.do(ctx, func(ctx context.Context, cli *client) (err error) {
		resp, err = cli.Txn(ctx).Then(reads...).Commit()
		return err
	})
	if err != nil {
		return store.Snapshot{}, fmt.Errorf("read %d keys and %d ranges: %w", len(keys), len(prefixes), err)
	}
	all := store.Snapshot{KVs: make([]store.KV, len(keys)), Pages: make([]store.Page, len(prefixes)), Revision: resp.Header.Revision}
	for i, key := range keys {
		all.KVs[i].Key = key
		if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			all.KVs[i] = s.kv(kvs[0])
		}
	}
	for i := range prefixes {
		found := resp.Responses[len(keys)+i].GetResponseRange()
		all.Pages[i] = s.page(found.Kvs, found.More, all.Revision)
	}
	return all, nil
}

// Revision implements store.Store. It reads a key that cannot exist, for the
// header.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	var resp *clientv3.GetResponse
	err := s.do(ctx, func(ctx context.Context, cli *client) (err error) {
		resp, err = cli.Get(ctx, s.key(store.MetaKey), clientv3.WithCountOnly())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read revision: %w", err)
	}
	return resp.Header.Revision, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, opts store.ListOptions) (store.Page, error) {
	from := max(s.key(prefix), s.key(opts.Start))
	get := []clientv3.OpOption{
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.key(prefix))),
		clientv3.WithLimit(int64(opts.Limit)),
		clientv3.WithRev(opts.Revision),
	}
	var resp *clientv3.GetResponse
	err := s.do(ctx, func(ctx context.Context, cli *client) (err error) {
		resp, err = cli.Get(ctx, from, get...)
		return err
	})
	if err != nil {
		return store.Page{}, fmt.Errorf("list %s: %w", prefix, err)
	}
	return s.page(resp.Kvs, resp.More, cmp.Or(opts.Revision, resp.Header.Revision)), nil
}

// Txn implements store.Store.
func (s *Store) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	if err := store.CheckTxn(compares, ops); err != nil {
		return 0, fmt.Errorf("transaction: %w", err)
	}
	cmps := make([]clientv3.Cmp, len(compares))
	reads := make([]clientv3.Op, len(compares)) // to say what differed
	for i, c := range compares {
		cmps[i], reads[i] = s.compare(c)
	}
	writes := make([]clientv3.Op, len(ops))
	for i, op := range ops {
		switch {
		case op.Delete:
			writes[i] = clientv3.OpDelete(s.key(op.Key))
		case op.Lease != 0:
			writes[i] = clientv3.OpPut(s.key(op.Key), string(op.Value), clientv3.WithLease(clientv3.LeaseID(op.Lease)))
		default:
			writes[i] = clientv3.OpPut(s.key(op.Key), string(op.Value))
		}
	}
	var resp *clientv3.TxnResponse
	err := s.do(ctx, func(ctx context.Context, cli *client) (err error) {
		resp, err = cli.Txn(ctx).If(cmps...).Then(writes...).Else(reads...).Commit()
		return err
	})
	if err == nil && !resp.Succeeded {
		s.stats.conflicts.Add(1)
		err = s.conflict(compares, resp)
	}
	if err != nil {
		return 0, fmt.Errorf("transaction: %w", err)
	}
	return resp.Header.Revision, nil
}

// compare returns what a compare is to etcd, and what to read if it does not
// hold.
func (s *Store) compare(c store.Compare) (clientv3.Cmp, clientv3.Op) {
	key := s.key(c.Key)
	if !c.Below {
		return clientv3.Compare(clientv3.ModRevision(key), "=", c.ModRevision), clientv3.OpGet(key)
	}
	return clientv3.Compare(clientv3.CreateRevision(key), "<", c.ModRevision+1).WithPrefix(),
		clientv3.OpGet(key, clientv3.WithPrefix(), clientv3.WithMinCreateRev(c.ModRevision+1), clientv3.WithLimit(1))
}

// conflict finds the first compare that did not hold, in what the transaction
// read instead of writing.
func (s *Store) conflict(compares []store.Compare, resp *clientv3.TxnResponse) error {
	for i, c := range compares {
		var have store.KV
		if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			have = s.kv(kvs[0])
		}
		if c.Below && have.ModRevision != 0 || !c.Below && have.ModRevision != c.ModRevision {
			return &store.ConflictError{Key: c.Key, Want: c.ModRevision, Have: have}
		}
	}
	return store.ErrConflict // cannot be: the reads are part of the transaction
}
