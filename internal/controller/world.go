package controller

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// world is what is stored of groups and nodes, folded from a watch. What does
// not convert keeps its last good form.
type world struct {
	groups      map[string]*resource.ReflectorGroup
	memberships map[string]*resource.ReflectorMembership
	stored      map[string]proto.Message // memberships as they stand, for what a successor keeps
	nodes       map[string]*resource.Node
	live        map[string]string // node → boot id of its daemon, in either role
	liveKeys    map[string]string // key → node
	reports     map[string]*vrouterv1.ReflectorReport
	problems    map[string]error // by key
	locked      bool             // the datastore
}

func newWorld() *world {
	return &world{
		groups: make(map[string]*resource.ReflectorGroup), memberships: make(map[string]*resource.ReflectorMembership),
		stored: make(map[string]proto.Message),
		nodes:  make(map[string]*resource.Node), live: make(map[string]string), liveKeys: make(map[string]string),
		reports: make(map[string]*vrouterv1.ReflectorReport), problems: make(map[string]error),
	}
}

// prefixes is what a world is made of.
func prefixes() []string {
	return []string{
		store.KindPrefix(string(resource.KindReflectorGroup)), store.KindPrefix(string(resource.KindReflectorMembership)),
		store.KindPrefix(string(resource.KindNode)), store.KindPrefix(string(resource.KindClusterInformation)),
		store.LivePrefix("agent"), store.LivePrefix("reflector"),
		reportPrefix(),
	}
}

// reportPrefix is the range of what reflectors say.
func reportPrefix() string { return store.StatusPrefix + store.Escape(store.ReflectorReport) + "/" }

// apply folds a batch into the world.
func (w *world) apply(b store.Batch) {
	for _, e := range b.Events {
		delete(w.problems, e.KV.Key)
		if err := w.event(e); err != nil {
			w.problems[e.KV.Key] = err
		}
	}
}

func (w *world) event(e store.Event) error {
	if role, node, err := store.ParseLiveKey(e.KV.Key); err == nil {
		return w.lives(role, node, e)
	}
	kind, _, name, err := store.ParseResourceKey(e.KV.Key)
	if err != nil {
		return err
	}
	if kind == store.ReflectorReport {
		return w.report(name, e)
	}
	if kind == string(resource.KindClusterInformation) {
		w.locked = resource.Unlocked(e.KV.Value) != nil // one that was deleted has no value
		return nil
	}
	if e.Type == store.Delete {
		switch resource.Kind(kind) {
		case resource.KindReflectorGroup:
			delete(w.groups, name)
		case resource.KindReflectorMembership:
			delete(w.memberships, name)
			delete(w.stored, name)
		case resource.KindNode:
			delete(w.nodes, name)
		}
		return nil
	}
	raw, err := resource.Decode(resource.Kind(kind), e.KV.Value, e.KV.ModRevision)
	if err != nil {
		return fmt.Errorf("decode %s: %w", e.KV.Key, err)
	}
	checked, err := resource.Check(raw)
	if err != nil {
		return fmt.Errorf("check %s: %w", e.KV.Key, err)
	}
	switch o := checked.(type) {
	case *resource.ReflectorGroup:
		w.groups[name] = o
	case *resource.ReflectorMembership:
		w.memberships[name], w.stored[name] = o, raw
	case *resource.Node:
		w.nodes[name] = o
	}
	return nil
}

// lives notes a daemon that came or went.
func (w *world) lives(role, node string, e store.Event) error {
	key := store.LiveKey(role, node)
	if e.Type == store.Delete {
		delete(w.liveKeys, key)
		if !slices.Contains(slices.Collect(maps.Values(w.liveKeys)), node) {
			delete(w.live, node)
		}
		return nil
	}
	var value struct {
		BootID string `json:"bootID"`
	}
	if err := json.Unmarshal(e.KV.Value, &value); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	w.liveKeys[key], w.live[node] = node, value.BootID
	return nil
}

func (w *world) report(node string, e store.Event) error {
	if e.Type == store.Delete {
		delete(w.reports, node)
		return nil
	}
	r := &vrouterv1.ReflectorReport{}
	if err := proto.Unmarshal(e.KV.Value, r); err != nil {
		return fmt.Errorf("read report of %s: %w", node, err)
	}
	w.reports[node] = r
	return nil
}

// served is the hosts that a live reflector serves, as its present daemon says.
func (w *world) served(node string) []string {
	boot, live := w.live[node]
	if r := w.reports[node]; live && r.GetBootId() == boot {
		return r.GetServed()
	}
	return nil
}
