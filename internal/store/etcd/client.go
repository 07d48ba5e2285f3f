package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Keepalive of connections: a peer that vanished without a word is noticed
// after 15 s. etcd refuses clients that ping more often than every 5 s.
const (
	pingEvery   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// reconnect is how connections are tried again. gRPC's own longest pause is two
// minutes, far too long after a cluster's restart.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
	MinConnectTimeout: 3 * time.Second,
}

// client is a connection to a cluster, or to the server in this process.
type client struct {
	*clientv3.Client
	// watches is the plain gRPC service. clientv3's own Watcher resumes by
	// itself after a lost connection, without a look at the store that it
	// finds, and would wait for ever on one that went back in time.
	watches pb.WatchClient
}

// loginTimeout bounds a login. It is longer than calls may take, because a
// busy server spends seconds on the passwords of many hosts.
const loginTimeout = 15 * time.Second

// connector makes the client on first use. With a password the library logs in
// as part of that, which needs the cluster; without, it is done at once.
type connector struct {
	cfg   checked
	watch *connWatch
	ctx   context.Context // ends with the store

	mu     sync.Mutex // guards the rest; never held across I/O
	client *client
	login  *login // under way
	closed bool
}

// login is one attempt, which all callers wait for.
type login struct {
	done   chan struct{} // closed when client or err are set
	client *client
	err    error
}

// get returns the client. It waits for a login that is under way no longer
// than ctx allows; the login goes on.
func (c *connector) get(ctx context.Context) (*client, error) {
	c.mu.Lock()
	if c.closed || c.client != nil {
		defer c.mu.Unlock()
		if c.closed {
			return nil, store.ErrClosed
		}
		return c.client, nil
	}
	l := c.login
	if l == nil {
		l = &login{done: make(chan struct{})}
		c.login = l
		go c.connect(l)
	}
	c.mu.Unlock()
	select {
	case <-l.done:
		return l.client, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connect makes the client, or says why not; then the next get tries again.
func (c *connector) connect(l *login) {
	cli, err := clientv3.New(clientv3.Config{
		Context:              c.ctx,
		Endpoints:            c.cfg.Endpoints,
		DialTimeout:          loginTimeout,
		DialKeepAliveTime:    pingEvery,
		DialKeepAliveTimeout: pingTimeout,
		Username:             c.cfg.Username,
		Password:             c.cfg.password,
		TLS:                  c.cfg.tls,
		Logger:               zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(c.watch.dial),
			grpc.WithConnectParams(reconnect),
			grpc.WithTransportCredentials(c.watch.credentials(c.cfg.tls)),
		},
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(l.done)
	c.login = nil
	switch {
	case err != nil:
		l.err = fmt.Errorf("log in to etcd: %w", err)
	case c.closed:
		l.err = store.ErrClosed
		_ = cli.Close() // never used
	default:
		l.client = &client{cli, pb.NewWatchClient(cli.ActiveConnection())}
		c.client = l.client
	}
}

func (c *connector) close() error {
	c.mu.Lock()
	c.closed = true
	cli, login := c.client, c.login
	c.client = nil
	c.mu.Unlock()
	if login != nil {
		<-login.done // the store's context has ended it
	}
	if cli == nil {
		return nil
	}
	if err := cli.Close(); err != nil && !errors.Is(err, context.Canceled) { // the library tells of its own cancellation
		return fmt.Errorf("close etcd client: %w", err)
	}
	return nil
}
