package server

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// maxUsers is how many objects a warning names.
const maxUsers = 5

// usesOf warns of the objects that still name one that is being deleted, as
// Calico lets them; sessions fail closed.
func (w *writer) usesOf(ctx context.Context, id resource.ID) ([]string, error) {
	users, err := w.users(ctx, id)
	if err != nil || len(users) == 0 {
		return nil, err
	}
	without := "their sessions are closed"
	switch id.Kind {
	case resource.KindBGPFilter:
		without = "all that reaches it is rejected, both ways"
	case resource.KindSecret:
		without = "their sessions are closed, or have no password where it is optional"
	}
	return []string{fmt.Sprintf("used by %s: until it is there again %s", firstOf(users), without)}, nil
}

// firstOf names as many as a warning does, and counts the others.
func firstOf(names []string) string {
	more := ""
	if n := len(names) - maxUsers; n > 0 {
		names, more = names[:maxUsers], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ") + more
}

// users returns the names of all stored objects that name one. What does not
// convert names nothing.
func (w *writer) users(ctx context.Context, id resource.ID) ([]string, error) {
	var users []string
	for _, kind := range resource.Referrers(id.Kind) {
		_, err := store.Scan(ctx, w.store, store.KindPrefix(string(kind)), 0, func(kv store.KV) {
			msg, err := resource.Decode(kind, kv.Value, kv.ModRevision)
			if err != nil {
				return
			}
			if object, err := resource.Check(msg); err == nil && slices.Contains(resource.References(object), id) {
				users = append(users, object.Metadata().String())
			}
		})
		if err != nil {
			return nil, fmt.Errorf("look who uses %s: %w", id, err)
		}
	}
	return users, nil
}
