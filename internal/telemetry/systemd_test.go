package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

func TestNotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth("store")
		var fault atomic.Pointer[error]
		h.AddCheck("fib", func(context.Context) error {
			if err := fault.Load(); err != nil {
				return *err
			}
			return nil
		})
		var mu sync.Mutex // guards told
		var told []string
		n := NewNotifier(h, hclog.NewNullLogger())
		n.watchdog = 10 * time.Second
		n.send = func(state string) error {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, state)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		<-n.Ready()
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(want, told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			told = nil
		}

		expect("STATUS=store: not ready: not reported yet")
		h.Set("store", false, "waiting for etcd")
		expect("STATUS=store: not ready: waiting for etcd")
		h.Set("store", false, "waiting for etcd")
		expect()
		time.Sleep(11 * time.Second)
		expect("WATCHDOG=1", "WATCHDOG=1")
		h.Set("store", true, "")
		expect("READY=1", "STATUS=ready")
		h.Set("store", false, "etcd is away")
		expect("STATUS=store: not ready: etcd is away")
		h.Set("store", true, "")
		expect("STATUS=ready") // READY=1 is said once
		hung := errors.New("the loop has not turned")
		fault.Store(&hung)
		time.Sleep(20 * time.Second)
		expect()
		fault.Store(nil)
		time.Sleep(5 * time.Second)
		expect("WATCHDOG=1")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		expect("STOPPING=1")
	})
}

// The same over a socket such as systemd's.
func TestNotifySocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "60000000")
	h := NewHealth("store")
	h.Set("store", true, "")
	n := NewNotifier(h, hclog.NewNullLogger())
	if n.watchdog != time.Minute {
		t.Errorf("the watchdog's period is %s", n.watchdog)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	for _, want := range []string{"READY=1", "STATUS=ready"} {
		if got := receive(t, conn); got != want {
			t.Errorf("systemd hears %q, want %q", got, want)
		}
	}
	cancel()
	if got := receive(t, conn); got != "STOPPING=1" {
		t.Errorf("systemd hears %q at the end", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewNotifier(NewHealth(), hclog.NewNullLogger()).Run(ctx); err != nil {
		t.Error(err)
	}
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1024)
	size, err := conn.Read(buf)
	if err != nil {
		t.Fatal(fmt.Errorf("wait for a message: %w", err))
	}
	return string(buf[:size])
}
