package server

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// A policy may come before its tier, and holds for nothing until that is there.
// Nobody has to store that: whoever reads the policy is told.

// lookForTiers sets the status of policies; what else it is given stays as it
// is, and so does nil.
func (r *reader) lookForTiers(ctx context.Context, policies ...proto.Message) error {
	known := make(map[string][]string) // problems by tier
	for _, msg := range policies {
		tier := resource.TierOf(msg)
		if tier == "" {
			continue
		}
		problems, ok := known[tier]
		if !ok {
			var err error
			if problems, err = r.tierProblems(ctx, msg); err != nil {
				return err
			}
			known[tier] = problems
		}
		if len(problems) > 0 {
			status := msg.ProtoReflect().Mutable(statusField(msg)).Message().Interface().(*vrouterv1.PolicyStatus)
			status.Problems = problems
		}
	}
	return nil
}

// tierProblems tells what is wrong with the tier of a policy; nothing of what is
// no policy.
func (r *reader) tierProblems(ctx context.Context, policy proto.Message) ([]string, error) {
	id := resource.ID{Kind: resource.KindTier, Name: resource.TierOf(policy)}
	if id.Name == "" || resource.IsBuiltIn(id) {
		return nil, nil
	}
	_, _, err := r.store.Get(ctx, resourceKey(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return []string{fmt.Sprintf("spec.tier: there is no tier %s; the policy holds for nothing until there is", id.Name)}, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", id, err)
	}
	return nil, nil
}
