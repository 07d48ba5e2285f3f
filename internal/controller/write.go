package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// statusPause is the least time between two statuses of one group: while a
// thousand hosts connect, each of them changes it.
const statusPause = time.Second

// written is a status as it was written last.
type written struct {
	text string
	at   time.Time
}

// write makes what is stored what was decided, and returns in what time it has
// to be tried again; zero: all stands. An error means that the term has ended.
func (c *Controller) write(ctx context.Context, f fenced, w *world, decisions map[string]decision, statuses map[string]written) (time.Duration, error) {
	again := time.Duration(0)
	problems := 0
	for _, name := range slices.Sorted(maps.Keys(decisions)) {
		d := decisions[name]
		problems += len(d.status.GetProblems())
		if w.groups[name].Election != nil && !slices.Equal(d.members, membersIn(w, name)) {
			if err := c.writeMembers(ctx, f, w, name, d.members); err != nil {
				return 0, err
			}
		}
		pause, err := c.writeStatus(ctx, f, w, name, d.status, statuses)
		if err != nil {
			return 0, err
		}
		if pause > 0 && (again == 0 || pause < again) {
			again = pause
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.memberships)) {
		if g := w.groups[name]; g == nil || g.Election == nil {
			if err := c.dropMembers(ctx, f, w, name); err != nil {
				return 0, err
			}
		}
	}
	c.count(func(s *stats) { s.groups, s.problems = len(w.groups), problems })
	return again, nil
}

func membersIn(w *world, group string) []resource.ReflectorMember {
	if m := w.memberships[group]; m != nil {
		return m.Members
	}
	return nil
}

// writeMembers stores the membership of a group, as long as the group is what
// the decision was made of.
func (c *Controller) writeMembers(ctx context.Context, f fenced, w *world, name string, members []resource.ReflectorMember) error {
	raw := &vrouterv1.ReflectorMembership{
		Metadata: &vrouterv1.Metadata{Name: proto.String(name)}, Spec: &vrouterv1.ReflectorMembershipSpec{},
	}
	var names []string
	for _, m := range members {
		e := &vrouterv1.ElectedReflector{Node: proto.String(m.Node)}
		if m.Leaving {
			e.Leaving = proto.Bool(true)
		}
		raw.Spec.Members = append(raw.Spec.Members, e)
		names = append(names, m.Node)
	}
	resource.Canonicalize(raw)
	next := resource.Successor(raw, w.stored[name])
	value, err := resource.Encode(next)
	if err != nil {
		return fmt.Errorf("encode the reflectors of %s: %w", name, err)
	}
	key := membershipKey(name)
	revision, err := c.txn(ctx, f, []store.Compare{
		{Key: key, ModRevision: revisionOf(w.memberships[name])}, {Key: groupKey(name), ModRevision: w.groups[name].Revision},
	}, store.Op{Key: key, Value: value})
	if err != nil || revision == 0 {
		return err
	}
	c.log.Info("reflectors elected", "group", name, "reflectors", names)
	c.count(func(s *stats) { s.elections++ })
	w.memberships[name] = &resource.ReflectorMembership{
		Meta:    resource.Meta{ID: resource.ID{Kind: resource.KindReflectorMembership, Name: name}, Revision: revision},
		Members: members,
	}
	w.stored[name] = next
	return nil
}

// dropMembers removes the membership of a group that elects nobody any longer.
func (c *Controller) dropMembers(ctx context.Context, f fenced, w *world, name string) error {
	key := membershipKey(name)
	compares := []store.Compare{{Key: key, ModRevision: revisionOf(w.memberships[name])}, {Key: groupKey(name)}}
	if g := w.groups[name]; g != nil {
		compares[1].ModRevision = g.Revision
	}
	revision, err := c.txn(ctx, f, compares, store.Op{Key: key, Delete: true})
	if err == nil && revision != 0 {
		delete(w.memberships, name)
		delete(w.stored, name)
	}
	return err
}

// writeStatus stores the status of a group if it differs from what stands, and
// returns in what time it may, if that is not yet.
func (c *Controller) writeStatus(ctx context.Context, f fenced, w *world, name string, status *vrouterv1.ReflectorGroupStatus,
	statuses map[string]written) (time.Duration, error) {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(status)
	if err != nil {
		return 0, fmt.Errorf("encode the status of %s: %w", name, err)
	}
	last := statuses[name]
	if last.text == string(text) && !last.at.IsZero() {
		return 0, nil
	}
	if left := statusPause - time.Since(last.at); left > 0 {
		return left, nil
	}
	key := store.StatusKey(string(resource.KindReflectorGroup), "", name)
	revision, err := c.txn(ctx, f, []store.Compare{{Key: groupKey(name), ModRevision: w.groups[name].Revision}}, store.Op{Key: key, Value: text})
	if err == nil && revision != 0 {
		statuses[name] = written{string(text), time.Now()}
	}
	return 0, err
}

// txn writes as long as this is the leader. Zero, without an error: something
// has changed meanwhile, or the datastore was locked; the watch will tell.
func (c *Controller) txn(ctx context.Context, f fenced, compares []store.Compare, op store.Op) (int64, error) {
	revision, err := f.Txn(ctx, compares, []store.Op{op})
	var conflict *store.ConflictError
	var locked *resource.LockedError
	switch {
	case err == nil:
		return revision, nil
	case errors.As(err, &locked):
		c.log.Debug("decision came after the lock", "key", op.Key)
		return 0, nil
	case errors.As(err, &conflict):
		c.log.Debug("decision came late", "key", conflict.Key)
		return 0, nil
	}
	return 0, fmt.Errorf("write %s: %w", op.Key, err)
}

func membershipKey(name string) string {
	return store.ResourceKey(string(resource.KindReflectorMembership), "", name)
}

func groupKey(name string) string {
	return store.ResourceKey(string(resource.KindReflectorGroup), "", name)
}

func revisionOf(m *resource.ReflectorMembership) int64 {
	if m == nil {
		return 0
	}
	return m.Revision
}
