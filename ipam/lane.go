package ipam

import (
	"cmp"
	"context"
	"slices"

	"github.com/projectvrouter/vrouter/internal/store"
)

// maxRemembered is for how many nodes a Client remembers what it read.
const maxRemembered = 256

// lane is the queue of one node.
type lane struct {
	turn    chan struct{} // holds one token
	users   int
	waiting []*call // that whoever has the token may run with its own
	reads   *Reads  // remembered; nil: nothing. Of whoever has the token.
}

// lane returns the queue of a node, for one more user.
func (c *Client) lane(node string) *lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[node]
	if l == nil {
		l = &lane{turn: make(chan struct{}, 1)}
		l.turn <- struct{}{}
		c.lanes[node] = l
	}
	l.users++
	return l
}

// unuse ends the use of a lane. Of those that nobody uses only some are kept.
func (c *Client) unuse(l *lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.users--; l.users > 0 || len(c.lanes) <= maxRemembered {
		return
	}
	for other, o := range c.lanes { // any will do
		if o.users == 0 {
			delete(c.lanes, other)
			return
		}
	}
}

// enter waits for a node's turn.
func (c *Client) enter(ctx context.Context, node string) (*lane, error) {
	l := c.lane(node)
	select {
	case <-l.turn:
		return l, nil
	case <-ctx.Done():
		c.unuse(l)
		return nil, store.Waited(ctx, "earlier calls for node "+node)
	}
}

func (c *Client) leave(l *lane) {
	l.turn <- struct{}{}
	c.unuse(l)
}

// wait puts a call where others may run it.
func (c *Client) wait(l *lane, me *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.waiting = append(l.waiting, me)
}

// withdraw takes a call back; false: somebody is running it, or has.
func (c *Client) withdraw(l *lane, me *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(l.waiting, me)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// takeWaiting takes up to n calls that wait, the first ones.
func (c *Client) takeWaiting(l *lane, n int) []*call {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(l.waiting))
	taken := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	return taken
}

// remember keeps of what was read the node's own blocks.
func (c *Client) remember(l *lane, node string, reads *Reads) {
	prefix := store.HostBlockPrefix(node)
	if reads.ranges[prefix] == 0 && reads.ranges[store.HostsPrefix] == 0 {
		return
	}
	keys := map[string]bool{claimsKey(node): true, store.SequenceKey: true}
	for _, key := range reads.below(prefix) {
		if _, cidr, err := store.ParseHostBlockKey(key); err == nil {
			keys[store.BlockKey(cidr)] = true
		}
	}
	whole := reads.ranges[store.HostsPrefix]
	reads.keep(prefix, keys)
	reads.ranges[prefix] = cmp.Or(reads.ranges[prefix], whole)
	reads.guess = true
	l.reads = reads
}
