package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Drain states in the Node that it is to be drained, and how. Its daemon
// follows when it sees that, now or when it is started.
func (s *nodes) Drain(ctx context.Context, req *vrouterv1.DrainRequest) (*vrouterv1.DrainResponse, error) {
	drain := &vrouterv1.NodeDrain{ShutdownAfter: proto.String(resource.DefaultShutdownAfter.String())}
	if text := req.GetShutdownAfter(); text != "" {
		drain.ShutdownAfter = proto.String(text)
	}
	if req.GetMessage() != "" {
		drain.Message = proto.String(req.GetMessage())
	}
	_, err := s.setDrain(ctx, req.GetNode(), drain)
	return &vrouterv1.DrainResponse{}, err
}

// Undrain takes a drain back, however far it is.
func (s *nodes) Undrain(ctx context.Context, req *vrouterv1.UndrainRequest) (*vrouterv1.UndrainResponse, error) {
	drained, err := s.setDrain(ctx, req.GetNode(), nil)
	return &vrouterv1.UndrainResponse{Drained: drained}, err
}

// setDrain writes the drain of a node, and reports whether it had one. Who
// writes the Node at the same time does not lose what he writes.
func (s *nodes) setDrain(ctx context.Context, node string, drain *vrouterv1.NodeDrain) (had bool, err error) {
	if node == "" {
		node = s.node
	}
	id := resource.ID{Kind: resource.KindNode, Name: node}
	err = retried(ctx, func() error {
		old, err := s.writer.stored(ctx, id)
		if err != nil {
			return err
		}
		stored, ok := old.msg.(*vrouterv1.Node)
		switch {
		case old.revision == 0:
			return &missingError{id}
		case !ok:
			return fmt.Errorf("the stored %s cannot be read", id)
		}
		next := proto.Clone(stored).(*vrouterv1.Node)
		had = next.GetSpec().GetDrain() != nil
		if next.Spec == nil {
			next.Spec = &vrouterv1.NodeSpec{}
		}
		next.Spec.Drain = drain
		checked, err := accept(next)
		if err != nil {
			return err
		}
		c := change{
			msg: next, checked: checked, mode: vrouterv1.PutMode_PUT_MODE_REPLACE,
			version: strconv.FormatInt(old.revision, 10),
		}
		_, err = s.writer.tryPut(ctx, c)
		if stale := (&staleError{}); errors.As(err, &stale) {
			return fmt.Errorf("%w: %w", store.ErrConflict, err)
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("drain of %s: %w", id, err)
	}
	return had, nil
}
