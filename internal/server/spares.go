package server

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/ipam"
)

// spareTime is how long it may take to keep a reserve. Who needs a block does
// without it.
const spareTime = 10 * time.Second

// spares keeps reserves for nodes after those who took addresses have been
// answered, one at a time for each node.
type spares struct {
	client   *ipam.Client
	log      hclog.Logger
	stopping <-chan struct{}

	mu   sync.Mutex // guards busy; never held across I/O
	busy map[string]bool
}

func (s *spares) keep(req ipam.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[req.Node] {
		return
	}
	s.busy[req.Node] = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), spareTime)
		defer cancel()
		go func() {
			select {
			case <-s.stopping:
				cancel()
			case <-ctx.Done():
			}
		}()
		if err := s.client.KeepSpare(ctx, req); err != nil {
			s.log.Debug("no reserve kept", "node", req.Node, "error", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, req.Node)
	}()
}
