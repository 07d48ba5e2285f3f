package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// lateClaims is a store whose watch of claims is late.
type lateClaims struct {
	store.Store
	late chan struct{} // closed: it tells; replaced only while nobody asks
	deaf bool          // claims cannot be read
	read func()        // called before they are
	all  chan struct{} // closed: everything else is told; nil: it is
	tell *store.Batch  // what the watch tells before it fails
}

func (l *lateClaims) Watch(ctx context.Context, o store.WatchOptions) store.Watch {
	w := l.Store.Watch(ctx, o)
	if strings.HasPrefix(o.Prefixes[0], store.HostsPrefix) {
		return &lateWatch{w, l}
	}
	if strings.HasPrefix(o.Prefixes[0], store.ResourcePrefix) && l.all != nil {
		wait(ctx, l.all)
	}
	return w
}

func (l *lateClaims) List(ctx context.Context, prefix string, o store.ListOptions) (store.Page, error) {
	if l.deaf && strings.HasPrefix(prefix, store.HostsPrefix) {
		<-ctx.Done()
		return store.Page{}, ctx.Err()
	}
	if l.read != nil && strings.HasPrefix(prefix, store.HostsPrefix) {
		l.read()
	}
	return l.Store.List(ctx, prefix, o)
}

type lateWatch struct {
	store.Watch
	of *lateClaims
}

func (w *lateWatch) Next(ctx context.Context) (store.Batch, error) {
	b, err := w.Watch.Next(ctx)
	if err != nil && w.of.tell != nil {
		b, err, w.of.tell = *w.of.tell, nil, nil
	}
	if err == nil && !wait(ctx, w.of.late) {
		err = ctx.Err()
	}
	return b, err
}

// TestBlockIsHeardOfLater: an endpoint and the block of its address are written
// at once, and the watch tells of the endpoint first. Peers hear of the block
// alone, and at once; of an address in nobody's block, at once, too. When nobody
// can tell which it is peers hear of the address.
func TestBlockIsHeardOfLater(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		s := &lateClaims{Store: r.client, late: make(chan struct{})}
		close(s.late)
		for _, l := range []string{"w-a", "w-b", "w-c"} {
			r.kernel.AddLink(l)
		}
		r.advertise("Blocks")
		r.start(func(o *Options) { o.Store = s })
		s.late = make(chan struct{})
		r.block("10.0.9.0/26", "confirmed") // taken by the watch, which waits
		r.calls.take()

		revision := r.write(claimOp(t, "host1", blockA, "confirmed"), endpointOp(t, "a", "host1", "10.0.0.1/32"))
		r.wantOwn(blockA+" 100", "10.0.9.0/26 100")
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
		borrowed := r.put(endpointObject("b", "host1", "10.0.1.1/32"))
		r.wantOwn(blockA+" 100", "10.0.1.1/32 100", "10.0.9.0/26 100")
		r.wantStage("b", borrowed, vrouterv1.Stage_STAGE_ADVERTISED, "")

		s.deaf = true
		revision = r.write(claimOp(t, "host1", "10.0.2.0/26", "confirmed"), endpointOp(t, "c", "host1", "10.0.2.1/32"))
		r.wantStage("c", revision, vrouterv1.Stage_STAGE_PROGRAMMED, errBlockUnheard.Error())
		wantNone(t, r.calls.take(), "originate 10.0.0.1/32", "originate 10.0.2.1/32", "withdraw")
		r.pass(answerLimit)
		r.wantOwn(blockA+" 100", "10.0.1.1/32 100", "10.0.2.1/32 100", "10.0.9.0/26 100")

		close(s.late)
		r.pass(time.Second)
		r.wantOwn(blockA+" 100", "10.0.1.1/32 100", "10.0.2.0/26 100", "10.0.9.0/26 100")
		wantNone(t, r.calls.take(), "withdraw 10.0.0.0/26", "originate 10.0.0.0/26", "withdraw 10.0.1.1/32")
	})
}

// An address that waits at the start is told before End-of-RIB.
func TestAskedAtTheStart(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		s := &lateClaims{Store: r.client, late: make(chan struct{}), all: make(chan struct{}), deaf: true}
		close(s.late)
		r.kernel.AddLink("w-a")
		r.advertise("Blocks")
		r.start(func(o *Options) { o.Store = s })
		s.late = make(chan struct{})
		r.write(claimOp(t, "host1", blockA, "confirmed"), endpointOp(t, "a", "host1", "10.0.0.1/32"))
		close(s.all) // the watch of claims has told what was there before, this one of all
		r.pass(0)
		r.wantRoutes(lineA)
		wantNone(t, r.calls.take(), "originate", "sessions")
		r.pass(answerLimit)
		wantOrder(t, r.calls.take(), "originate 10.0.0.1/32", "sessions")
	})
}

// What is read while the store is exchanged is not taken.
func TestAskedOfAForeignStore(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		s := &lateClaims{Store: r.client, late: make(chan struct{})}
		close(s.late)
		r.kernel.AddLink("w-a")
		r.advertise("Blocks")
		r.start(func(o *Options) { o.Store = s })
		s.late = make(chan struct{})
		s.read = func() {
			s.read = nil
			r.store.Wipe()
			for range 100 { // as far as ours
				if _, err := r.store.Txn(t.Context(), nil, []store.Op{claimOp(t, "host1", "10.0.5.0/26", "confirmed")}); err != nil {
					t.Error(err)
				}
			}
		}
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantRoutes(lineA)
		r.wantOwn("10.0.0.1/32 100")
	})
}

// What the watch tells of a store that was exchanged a moment ago is not taken.
func TestClaimsOfAForeignStore(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		s := &lateClaims{Store: r.client, late: make(chan struct{})}
		close(s.late)
		r.advertise("Blocks")
		r.block(blockA, "confirmed")
		r.start(func(o *Options) { o.Store = s })
		gone := store.KV{Key: store.HostBlockKey("host1", pfx(blockA)), ModRevision: 99}
		s.tell = &store.Batch{Events: []store.Event{{Type: store.Delete, KV: gone}}, Revision: 99, Synced: true}
		r.store.Wipe()
		r.pass(time.Minute)
		r.wantRoutes(blockALine)
		r.wantOwn(blockA + " 100")
		if s.tell != nil {
			t.Error("the watch has told nothing")
		}
	})
}
