package server

import (
	"context"
	"fmt"
	"maps"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/ipam"
)

// labels are what the selectors of pools choose by; nil: not read.
type labels struct{ node, namespace map[string]string }

// read reads the labels that are not known yet, where a pool looks at them. No
// namespace has none.
func (l *labels) read(ctx context.Context, w *writer, env *ipam.Env, node, namespace string) (err error) {
	for i := range env.Pools {
		if env.Pools[i].NodeSelector != nil && l.node == nil {
			if l.node, err = w.labels(ctx, resource.ID{Kind: resource.KindNode, Name: node}); err != nil {
				return err
			}
		}
		if env.Pools[i].NamespaceSelector != nil && l.namespace == nil && namespace != "" {
			if l.namespace, err = w.labels(ctx, resource.ID{Kind: resource.KindNamespace, Name: namespace}); err != nil {
				return err
			}
			l.namespace = maps.Clone(l.namespace)
			l.namespace[resource.LabelName] = namespace // as in policy, and without an object
		}
	}
	return nil
}

// labels returns the labels of an object; none, and not nil, where there is no
// object.
func (w *writer) labels(ctx context.Context, id resource.ID) (map[string]string, error) {
	s, err := w.stored(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read labels of %s: %w", id, err)
	}
	if s.msg == nil || resource.MetadataOf(s.msg).GetLabels() == nil {
		return map[string]string{}, nil
	}
	return resource.MetadataOf(s.msg).GetLabels(), nil
}
