package calico

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/backup"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// check refuses what an import would refuse, and what `ipam check` would find
// afterwards.
func (c *conversion) check(ctx context.Context, f *backup.File) error {
	if bad := (*resource.Invalid)(nil); errors.As(f.Check(), &bad) {
		for _, p := range bad.Problems {
			key, rest, _ := strings.Cut(p.Path, ": ")
			if source := c.from[key]; source != "" {
				p.Path = strings.TrimSuffix(source+": "+rest, ": ")
			}
			c.problems.Add("", &resource.Invalid{Problems: []resource.Problem{p}})
		}
		return c.problems.Err()
	}
	report, err := checkAddresses(ctx, f)
	if err != nil {
		return err
	}
	for _, p := range report.Problems {
		path, hint := p.Subject, ""
		if cidr, err := netip.ParsePrefix(p.Subject); err == nil && c.blocks[cidr] != nil {
			path = c.blocks[cidr].source
		}
		switch p.Kind {
		case ipam.OutsidePools:
			hint = ", and no pool has it: add its IPPool, or have Calico release them first"
		case ipam.WrongSize:
			hint = ": a pool has blocks of one size; move what is in it to a pool of its own first"
		}
		c.problems.Add(path, fmt.Errorf("%s: %s%s", p.Kind, p.Detail, hint))
	}
	return c.problems.Err()
}

// checkAddresses is the check of address management, on a store of its own.
func checkAddresses(ctx context.Context, f *backup.File) (*ipam.Report, error) {
	s := store.NewMemory()
	defer func() { _ = s.Close() }()
	ops := make([]store.Op, len(f.KVs))
	for i, kv := range f.KVs {
		ops[i] = store.Op{Key: kv.Key, Value: kv.Value}
	}
	for ops := range backup.Batches(ops) {
		if _, err := s.Txn(ctx, nil, ops); err != nil {
			return nil, fmt.Errorf("check addresses: write %d keys from %s: %w", len(ops), ops[0].Key, err)
		}
	}
	env, err := ipam.Stored{Store: s}.Env(ctx)
	if err != nil {
		return nil, fmt.Errorf("check addresses: %w", err)
	}
	contents, err := ipam.ReadContents(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("check addresses: %w", err)
	}
	return contents.Check(env), nil
}

// warnOfNodes tells of nodes that have something and are no Node.
func (c *conversion) warnOfNodes() {
	var missing []string
	for name, what := range c.nodes {
		if !what["Node"] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		c.warn("%d nodes have blocks or endpoints and are no Node of the files, such as %s: one whose vrouterd does not come has its "+
			"blocks taken from it; addresses that are held stay", len(missing), missing[0])
	}
}

// warnOfReferences tells of what objects name and is not there.
func (c *conversion) warnOfReferences() {
	missing := make(map[resource.Kind]map[string]bool)
	for _, o := range c.objects {
		ids := resource.References(o.checked)
		if w, ok := o.checked.(*resource.WorkloadEndpoint); ok {
			for _, name := range w.Profiles {
				ids = append(ids, resource.ID{Kind: resource.KindProfile, Name: name})
			}
		}
		for _, id := range ids {
			key := store.ResourceKey(string(id.Kind), id.Namespace, id.Name)
			if c.objects[key] != nil || resource.IsBuiltIn(id) {
				continue
			}
			if missing[id.Kind] == nil {
				missing[id.Kind] = make(map[string]bool)
			}
			missing[id.Kind][id.Name] = true
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(missing)) {
		names := slices.Sorted(maps.Keys(missing[kind]))
		c.warn("objects name %d of kind %s that the files do not have, such as %s", len(names), kind, names[0])
	}
}
