package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// joined puts specs and statuses together for one reader, who sees the
// endpoints of one node, or of all. It belongs to the goroutine of the stream.
type joined struct {
	reader     *reader
	node       string // empty: all
	withStatus bool
	resumed    bool // the reader may know any endpoint from an earlier stream
	send       func(*vrouterv1.WatchEndpointsResponse) error

	pairs map[string]*pair // by key of the spec
	dirty []*pair          // in the order of their events
}

// pair is what is known of one endpoint.
type pair struct {
	key          string // of the spec
	spec, status half
	told         bool // the reader has the endpoint
	untold       bool // the reader knows that it does not have it
	dirty        bool
}

// half is one key: known once there was an event, or it was read.
type half struct {
	known   bool
	present bool
	kv      store.KV
}

// add takes in events.
func (j *joined) add(events []store.Event) {
	for _, e := range events {
		key, isStatus := e.KV.Key, false
		if rest, ok := strings.CutPrefix(key, store.StatusPrefix); ok {
			key, isStatus = store.ResourcePrefix+rest, true
		}
		p := j.pairs[key]
		if p == nil {
			p = &pair{key: key}
			j.pairs[key] = p
		}
		h := half{known: true, present: e.Type == store.Put, kv: e.KV}
		if isStatus {
			p.status = h
		} else {
			p.spec = h
		}
		if !p.dirty {
			p.dirty = true
			j.dirty = append(j.dirty, p)
		}
	}
}

// flush tells what has changed, each endpoint once.
func (j *joined) flush(ctx context.Context) error {
	dirty := j.dirty
	j.dirty = nil
	for _, p := range dirty {
		p.dirty = false
		if err := j.tell(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (j *joined) tell(ctx context.Context, p *pair) error {
	if !p.spec.known && j.resumed && p.status.present {
		if err := j.read(ctx, &p.spec, p.key); err != nil {
			return err
		}
	}
	id, err := parseID(p.key)
	switch {
	case err != nil || !p.spec.known:
		delete(j.pairs, p.key) // a status without its endpoint, or of one that the reader does not see
		return nil
	case !p.spec.present:
		delete(j.pairs, p.key)
		return j.gone(p, id)
	}
	w := j.reader.decode(id, p.spec.kv).(*vrouterv1.WorkloadEndpoint)
	if !onNode(w, j.node) {
		if !j.resumed {
			delete(j.pairs, p.key)
		}
		return j.gone(p, id)
	}
	if err := j.join(ctx, p, w); err != nil {
		return err
	}
	p.told, p.untold = true, false
	if !j.withStatus {
		p.spec = half{} // every event brings its own
	}
	return j.send(&vrouterv1.WatchEndpointsResponse{Event: &vrouterv1.WatchEndpointsResponse_Put{Put: w}})
}

// join puts the status into the endpoint.
func (j *joined) join(ctx context.Context, p *pair, w *vrouterv1.WorkloadEndpoint) error {
	if !j.withStatus {
		return nil
	}
	if !p.status.known && j.resumed {
		if err := j.read(ctx, &p.status, toStatus(p.key)); err != nil {
			return err
		}
	}
	if p.status.present {
		j.reader.setStatus(w, p.status.kv)
	}
	return nil
}

// gone tells that the reader's endpoint is no more, or no more on its node. A
// resumed reader may have it without this stream knowing.
func (j *joined) gone(p *pair, id resource.ID) error {
	if p.untold || !p.told && !j.resumed {
		return nil
	}
	p.told, p.untold = false, true
	e, err := resource.ParseEndpointKeyName(id.Namespace, id.Name)
	if err != nil {
		j.reader.log.Warn("key cannot be read", "key", p.key, "error", err)
		return nil
	}
	return j.send(&vrouterv1.WatchEndpointsResponse{Event: &vrouterv1.WatchEndpointsResponse_Delete{
		Delete: &vrouterv1.WatchEndpointsResponse_EndpointDeleted{
			Id: &vrouterv1.EndpointID{Namespace: e.Namespace, Orchestrator: e.Orchestrator,
				Workload: e.Workload, Endpoint: e.Endpoint},
			Revision: p.spec.kv.ModRevision,
		}}})
}

// read fills a half that a resumed stream has heard nothing of.
func (j *joined) read(ctx context.Context, h *half, key string) error {
	kv, _, err := j.reader.store.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("read %s: %w", key, err)
	}
	*h = half{known: true, present: err == nil, kv: kv}
	return nil
}
