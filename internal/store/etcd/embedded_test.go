package etcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/storetest"
)

// socketDir returns a directory short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "etcd")
}

func embedded(t *testing.T, cfg EmbeddedConfig) *Store {
	t.Helper()
	cfg.Tick, cfg.Timeout = 10*time.Millisecond, time.Minute // a busy disk takes seconds
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Embedded(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestEmbedded(t *testing.T) {
	storetest.Run(t, storetest.Can{}, func(t *testing.T) *storetest.Server {
		dir := socketDir(t)
		lock, err := prepareDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { lock.Close() })
		server, err := start(t.Context(), EmbeddedConfig{
			DataDir: dir, Tick: 10 * time.Millisecond}, serverLog{hclog.NewNullLogger(), new(atomic.Bool)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		c, err := Config{Endpoints: []string{"unix:///unused"}, PageSize: 500}.check()
		if err != nil {
			t.Fatal(err)
		}
		c.Endpoints = nil
		return &storetest.Server{
			Open: func(*testing.T) storetest.Client {
				s := inProcess(c, server.Server)
				return storetest.Client{Store: s, Received: func() uint64 { return s.Stats().Events }}
			},
			Compact: func(t *testing.T, revision int64) {
				cli := v3client.New(server.Server)
				defer cli.Close()
				if _, err := cli.Compact(t.Context(), revision, clientv3.WithCompactPhysical()); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func TestEmbeddedKeepsData(t *testing.T) {
	dir := socketDir(t)
	s := embedded(t, EmbeddedConfig{DataDir: dir})
	if _, err := s.Txn(t.Context(), nil, []store.Op{{Key: "r/a", Value: []byte("1")}}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("data directory: %v, %v", info.Mode(), err)
	}
	if _, err := Embedded(t.Context(), EmbeddedConfig{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second server on the same data: %v", err)
	}
	direct, err := New(Config{Endpoints: []string{"unix://" + filepath.Join(dir, SocketName)}})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	if kv, _, err := direct.Get(t.Context(), "r/a"); err != nil || string(kv.Value) != "1" {
		t.Fatalf("by the socket: %s, %v", kv.Value, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // set back at the next start
		t.Fatal(err)
	}
	s = embedded(t, EmbeddedConfig{DataDir: dir})
	if kv, _, err := s.Get(t.Context(), "r/a"); err != nil || string(kv.Value) != "1" {
		t.Fatalf("after a restart: %s, %v", kv.Value, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("data directory: %v, %v", info.Mode(), err)
	}
}

// TestEmbeddedListensOnItsSocketOnly looks at every socket of this process.
func TestEmbeddedListensOnItsSocketOnly(t *testing.T) {
	before := listeners(t)
	embedded(t, EmbeddedConfig{DataDir: socketDir(t)})
	if after := listeners(t); after != before {
		t.Fatalf("TCP listeners of this process: %d before, %d with the server", before, after)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // the count is no constant
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := listeners(t); got != before+1 {
		t.Fatalf("%d listeners counted, wanted %d", got, before+1)
	}
}

// listeners counts listening TCP sockets among this process's descriptors.
func listeners(t *testing.T) int {
	t.Helper()
	listening := make(map[string]bool)
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" { // TCP_LISTEN
				listening["socket:["+f[9]+"]"] = true
			}
		}
	}
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && listening[to] {
			n++
		}
	}
	return n
}

func TestEmbeddedRefuses(t *testing.T) {
	for _, c := range []struct{ dir, want string }{
		{"etcd", "not an absolute path"},
		{"/" + strings.Repeat("long/", 30), "longer than"},
		{"/proc/none/etcd", "make data directory"},
	} {
		if _, err := Embedded(t.Context(), EmbeddedConfig{DataDir: c.dir}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.dir, err)
		}
	}
}

// TestEmbeddedDamaged has etcd give up on its data, which must not end the
// process.
func TestEmbeddedDamaged(t *testing.T) {
	dir := socketDir(t)
	s := embedded(t, EmbeddedConfig{DataDir: dir})
	if _, err := s.Txn(t.Context(), nil, []store.Op{{Key: "a"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "member/wal/*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("%v, %v", logs, err)
	}
	for _, name := range logs {
		if err := os.WriteFile(name, []byte(strings.Repeat("damaged ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := Embedded(ctx, EmbeddedConfig{DataDir: dir, Tick: 10 * time.Millisecond}); err == nil {
		t.Fatal("started on damaged data")
	} else if !strings.Contains(err.Error(), dir) {
		t.Fatal(err)
	}
}

func TestEmbeddedFull(t *testing.T) {
	s := embedded(t, EmbeddedConfig{DataDir: socketDir(t), QuotaBytes: 2 << 20})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var err error
	for i := 0; err == nil; i++ { // etcd counts only what its backend has written
		_, err = s.Txn(ctx, nil, []store.Op{{Key: fmt.Sprint("k/", i%20), Value: make([]byte, 100<<10)}})
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
	if _, _, err := s.Get(t.Context(), "k/0"); err != nil {
		t.Fatalf("read from a full store: %v", err)
	}
	if _, err := s.Txn(t.Context(), nil, []store.Op{{Key: "k/0", Delete: true}}); err != nil {
		t.Fatalf("delete from a full store: %v", err)
	}
}

// TestEmbeddedLogsNoValues: values can be secrets, whatever the level.
func TestEmbeddedLogsNoValues(t *testing.T) {
	var out strings.Builder
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: &out})
	s := embedded(t, EmbeddedConfig{DataDir: socketDir(t), Logger: log})
	const value = "a value of nobody's business"
	if _, err := s.Txn(t.Context(), nil, []store.Op{{Key: "k", Value: []byte(value)}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "message=Apply") {
		t.Error("the request was not logged at all")
	}
	if strings.Contains(out.String(), value) {
		t.Errorf("the value is in the log:\n%s", out.String())
	}
}

func TestEmbeddedIsQuiet(t *testing.T) {
	var out strings.Builder
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: &out})
	dir := socketDir(t)
	for range 2 {
		s := embedded(t, EmbeddedConfig{DataDir: dir, Logger: log})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() > 0 {
		t.Errorf("start and stop said:\n%s", out.String())
	}
	log.SetLevel(hclog.Debug)
	s := embedded(t, EmbeddedConfig{DataDir: dir, Logger: log})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `etcd server: message="starting an etcd server"`) {
		t.Errorf("at debug it said:\n%s", out.String())
	}
}

// TestTooEarly: etcd calls it an error that a new server has no version yet.
func TestTooEarly(t *testing.T) {
	var out strings.Builder
	log := serverLog{hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: &out}), new(atomic.Bool)}.zap()
	log.Error("failed to update storage version", zap.Error(errors.New("cannot detect storage schema version: missing term information")))
	if out.Len() > 0 {
		t.Errorf("said:\n%s", out.String())
	}
	log.Error("failed to update storage version", zap.Error(errors.New("disk on fire")))
	if !strings.Contains(out.String(), "disk on fire") {
		t.Errorf("said:\n%s", out.String())
	}
}
