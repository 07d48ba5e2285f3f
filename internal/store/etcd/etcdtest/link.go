package etcdtest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Link is a TCP relay on loopback before a server, for one client.
type Link struct {
	Addr string // host:port for the client

	listener net.Listener
	server   string

	mu    sync.Mutex // guards the rest
	cut   bool
	conns map[net.Conn]struct{}
}

// NewLink returns a link to a server's host:port.
func NewLink(t testing.TB, server string) *Link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	link := &Link{Addr: l.Addr().String(), listener: l, server: server, conns: make(map[net.Conn]struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		link.serve()
	}()
	t.Cleanup(func() {
		l.Close()
		link.Cut()
		<-done
	})
	return link
}

// Cut ends all connections; new ones are closed at once until Mend.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		c.Close()
	}
	clear(l.conns)
}

// Mend lets connections through again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

func (l *Link) serve() {
	var relays sync.WaitGroup
	defer relays.Wait()
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.server)
		if err != nil {
			client.Close()
			continue
		}
		if !l.keep(client, server) {
			continue
		}
		for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
			relays.Go(func() {
				_, _ = io.Copy(way[0], way[1]) // ends with either side
				way[0].Close()
				way[1].Close()
			})
		}
	}
}

func (l *Link) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		if l.cut {
			c.Close()
		} else {
			l.conns[c] = struct{}{}
		}
	}
	return !l.cut
}
