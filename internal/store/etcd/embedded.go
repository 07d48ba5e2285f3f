package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"golang.org/x/sys/unix"
)

// SocketName is the Unix socket in the data directory at which etcdctl reaches
// the embedded server: --endpoints unix:///var/lib/vrouter/etcd/client.sock.
const SocketName = "client.sock"

// maxSocketPath is what the kernel takes as the path of a Unix socket
// (unix(7)), less the closing zero.
const maxSocketPath = 107

// EmbeddedConfig says how to run etcd inside this process.
type EmbeddedConfig struct {
	DataDir    string // made with mode 0700, and set to it
	Prefix     string // of all keys; empty: DefaultPrefix
	QuotaBytes int64  // size at which writes fail with ErrFull; zero: etcd's 2 GiB
	Timeout    time.Duration
	PageSize   int
	Logger     hclog.Logger // nil: silent

	// Tick is the heartbeat; an election takes five to ten of it. Zero: etcd's
	// 100 ms. A single member elects itself, so that less only starts faster.
	Tick time.Duration
}

// Embedded starts a single etcd server in this process and returns a store on
// it. The server listens on one Unix socket in its data directory and nowhere
// else; the store calls it directly. It is ready when Embedded returns, or ctx
// has ended it. Closing the store stops it and leaves the data.
func Embedded(ctx context.Context, cfg EmbeddedConfig) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	c, err := Config{
		Endpoints: []string{"unix://" + filepath.Join(cfg.DataDir, SocketName)},
		Prefix:    cfg.Prefix, Timeout: cfg.Timeout, PageSize: cfg.PageSize, Logger: cfg.Logger,
	}.check()
	if err != nil {
		return nil, err
	}
	c.Endpoints = nil // called directly
	lock, err := prepareDir(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
	closing := new(atomic.Bool)
	server, err := start(ctx, cfg, serverLog{cfg.Logger, closing})
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("start embedded etcd in %s: %w", cfg.DataDir, err)
	}
	s := inProcess(c, server.Server)
	go func() { // ends when the server is closed
		for err := range server.Err() {
			if !closing.Load() {
				cfg.Logger.Error("embedded etcd failed", "error", err)
			}
		}
	}()
	s.onClose = func() error {
		closing.Store(true)
		server.Close()
		return lock.Close()
	}
	return s, nil
}

// inProcess returns a store that calls a server in this process directly.
func inProcess(c checked, server *etcdserver.EtcdServer) *Store {
	s := newStore(c)
	s.conn = &connector{cfg: c, watch: s.newConnWatch(), client: &client{
		Client:  v3client.New(server),
		watches: adapter.WatchServerToWatchClient(v3rpc.NewWatchServer(server)),
	}}
	return s
}

// prepareDir makes the data directory and locks it, because etcd would wait
// for ever for another process that uses it.
func prepareDir(dir string) (*os.File, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("data directory %q: not an absolute path", dir)
	}
	if socket := filepath.Join(dir, SocketName); len(socket) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: longer than %d bytes", socket, maxSocketPath)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("protect data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is in use by another process", dir)
		}
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return lock, nil
}

// start runs the server and waits until it serves.
func start(ctx context.Context, cfg EmbeddedConfig, log serverLog) (server *embed.Etcd, err error) {
	defer func() {
		if r := recover(); r != nil { // etcd's way to give up on damaged data, see serverLog
			server, err = nil, fmt.Errorf("etcd gave up: %v", r)
		}
	}()
	server, err = embed.StartEtcd(serverConfig(cfg, log))
	if err != nil {
		return nil, err
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, nil
	case err := <-server.Err():
		server.Close()
		return nil, err
	case <-ctx.Done():
		server.Close()
		return nil, ctx.Err()
	}
}

func serverConfig(cfg EmbeddedConfig, log serverLog) *embed.Config {
	socket := url.URL{Scheme: "unix", Path: filepath.Join(cfg.DataDir, SocketName)}
	c := embed.NewConfig()
	c.Name = "vrouter"
	c.Dir = cfg.DataDir
	c.ListenClientUrls = []url.URL{socket}
	c.AdvertiseClientUrls = []url.URL{socket}
	// No peer listener. A peer URL must be advertised all the same; nothing
	// listens there.
	c.ListenPeerUrls = nil
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// Counts only for a new data directory: it gives each an etcd cluster id of
	// its own, by which a watch notices that the data were swapped.
	c.InitialClusterToken = uuid.NewString()
	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = "1h"
	c.QuotaBackendBytes = cfg.QuotaBytes
	c.EnableGRPCGateway = false
	if cfg.Tick > 0 {
		c.TickMs = uint(cfg.Tick / time.Millisecond)
		c.ElectionMs = 5 * c.TickMs
	}
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log.zap())
	return c
}
