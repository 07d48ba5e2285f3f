package reflectorbench

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// piped is a client on a pipe, and the target's end of it.
func piped(t *testing.T, p Plan, self int) (*client, net.Conn) {
	ours, theirs := net.Pipe()
	c := &client{
		number: self, plan: p, conn: ours, table: newTable(p, self, 0, false),
		done: make(chan struct{}), closed: make(chan struct{}), buf: make([]byte, readBuffer),
	}
	go c.read()
	t.Cleanup(func() {
		_ = theirs.Close()
		c.close()
	})
	return c, theirs
}

// write writes and waits until the client has read it.
func write(t *testing.T, conn net.Conn, message []byte) {
	t.Helper()
	if _, err := conn.Write(message); err != nil {
		t.Fatal(err)
	}
}

var pipedPlan = Plan{Clients: 3, Routes: 2}

func TestClientSaysWhenItHoldsAll(t *testing.T) {
	c, target := piped(t, pipedPlan, 0)
	w := expect([]*client{c}, holdsAll(nobody))
	for owner := 1; owner < pipedPlan.Clients; owner++ {
		write(t, target, reflected(pipedPlan, owner, 0, pipedPlan.Routes))
	}
	if at, err := w.last(t.Context()); err != nil || at.IsZero() {
		t.Errorf("%v, %v", at, err)
	}
	// What holds already is told at once.
	if _, err := expect([]*client{c}, holdsAll(nobody)).last(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMissingRouteIsUnfinished(t *testing.T) {
	c, target := piped(t, pipedPlan, 0)
	w := expect([]*client{c}, holdsAll(nobody))
	write(t, target, reflected(pipedPlan, 1, 0, 2))
	write(t, target, reflected(pipedPlan, 2, 0, 1))
	write(t, target, appendKeepalive(nil)) // read after what came before was taken
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.last(ctx)
	if !errors.Is(err, errUnfinished) || !strings.Contains(err.Error(), "client 0 holds 3 routes") {
		t.Errorf("%v, want that it did not finish", err)
	}
}

func TestWrongRouteEndsTheSession(t *testing.T) {
	c, target := piped(t, pipedPlan, 0)
	w := expect([]*client{c}, holdsAll(nobody))
	write(t, target, pipedPlan.appendUpdate(nil, 1, 0, 1, noMED)) // not reflected, but copied
	_, err := w.last(t.Context())
	if err == nil || !strings.Contains(err.Error(), "client 0: a route of client 1: ORIGINATOR_ID is") {
		t.Errorf("%v, want a route without ORIGINATOR_ID", err)
	}
}

func TestNotificationEndsTheSession(t *testing.T) {
	c, target := piped(t, pipedPlan, 0)
	write(t, target, endMessage(append(appendHeader(nil, msgNotification), 6, 3), 0))
	<-c.done
	if err := c.failure(); !strings.Contains(err.Error(), "notification 6/3") {
		t.Errorf("%v, want the notification", err)
	}
}

func TestResumedClientReadsOn(t *testing.T) {
	c, target := piped(t, pipedPlan, 0)
	if err := c.pause(); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1) // a pipe holds nothing: a write ends when all is read
	go func() {
		_, err := target.Write(reflected(pipedPlan, 1, 0, 2))
		written <- err
	}()
	w := expect([]*client{c}, func(t *table) bool { return t.present == 2 })
	if err := c.resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.last(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestQuantiles(t *testing.T) {
	var latency []time.Duration
	for i := range 1000 {
		latency = append(latency, time.Duration(1000-i)*time.Millisecond)
	}
	for i, want := range []float64{501, 991, 1000} {
		if m := quantiles(latency)[i]; m.Value != want {
			t.Errorf("%s is %v ms, want %v", m.Name, m.Value, want)
		}
	}
}
