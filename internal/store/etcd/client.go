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

// connector makes the client on first use. With a password the library logs in
// as part of that, which needs the cluster; without, nothing blocks.
type connector struct {
	cfg   checked
	watch *connWatch

	mu     sync.Mutex // guards the rest; held while logging in
	client *client
	closed bool
}

func (c *connector) get(ctx context.Context) (*client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, store.ErrClosed
	}
	if c.client != nil {
		return c.client, nil
	}
	timeout := c.cfg.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, max(time.Until(deadline), time.Millisecond))
	}
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:            c.cfg.Endpoints,
		DialTimeout:          timeout, // bounds the login
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
	if err != nil {
		return nil, fmt.Errorf("log in to etcd: %w", err)
	}
	c.client = &client{cli, pb.NewWatchClient(cli.ActiveConnection())}
	return c.client, nil
}

func (c *connector) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.client == nil {
		return nil
	}
	err := c.client.Close()
	c.client = nil
	if err != nil && !errors.Is(err, context.Canceled) { // the library tells of its own cancellation
		return fmt.Errorf("close etcd client: %w", err)
	}
	return nil
}
