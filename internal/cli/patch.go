package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/cli/patch"
	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

type patchOptions struct {
	namespace string
	kind      string // --type
	text      string
	file      string
	dryRun    bool
	output    string
}

func (a *app) patchCommand() *cobra.Command {
	var o patchOptions
	c := &cobra.Command{
		Use:   "patch KIND NAME -p PATCH",
		Short: "Change parts of an object",
		Long: `Change parts of an object. The patch, in JSON or YAML, is applied to the object
as 'get -o json' shows it: as a merge patch (RFC 7396), in which null removes a
field, or with --type json as a list of operations (RFC 6902). The result
replaces the version that was read; when others change the object at the same
time, the patch is applied again.`,
		Example: `  vrouterctl patch bgpconfiguration default -p '{"spec": {"nodeToNodeMeshEnabled": false}}'
  vrouterctl patch node host1 --type json \
      -p '[{"op": "add", "path": "/metadata/labels/rack", "value": "3"}]'`,
		ValidArgsFunction: a.completeObjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.patch(cmd.Context(), args, &o)
		},
	}
	flags := c.Flags()
	flags.StringVarP(&o.namespace, "namespace", "n", resource.DefaultNamespace, "namespace of the object")
	flags.StringVar(&o.kind, "type", "merge", "merge (RFC 7396) or json (RFC 6902)")
	flags.StringVarP(&o.text, "patch", "p", "", "the patch")
	flags.StringVar(&o.file, "patch-file", "", "`file` that holds the patch, or -")
	flags.BoolVar(&o.dryRun, "dry-run", false, "let vrouterd check everything, and write nothing")
	bindOutput(c, &o.output, "line", formatName, formatYAML, formatJSON)
	_ = c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{"merge", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// change turns the tree of an object into another.
type change func(tree any) (any, error)

func (a *app) patch(ctx context.Context, args []string, o *patchOptions) error {
	format, err := parseFormat(o.output, "line", formatName, formatYAML, formatJSON)
	if err != nil {
		return err
	}
	t, err := parseTarget(args, o.namespace)
	if err != nil {
		return err
	}
	if len(t.refs) != 1 {
		return usagef("exactly one NAME is needed: the object to patch")
	}
	change, err := a.readChange(o)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	var warnings []string
	response, err := retryConflict(ctx, func() (*vrouterv1.PutResponse, error) {
		old, err := getObject(ctx, c, t.refs[0])
		if err != nil {
			return nil, err
		}
		m, err := patched(old, change)
		if err != nil {
			return nil, err
		}
		warnings = m.Warnings
		return putObject(ctx, c, m.Message, vrouterv1.PutMode_PUT_MODE_REPLACE, o.dryRun)
	})
	if err != nil {
		a.printError("", t.refs[0].String(), err)
		return &reportedError{exitCode(err)}
	}
	msg, err := unwrap(response.GetResource())
	if err != nil {
		return err
	}
	name := refOf(msg).String()
	for _, warning := range append(warnings, response.GetWarnings()...) {
		a.warn(name, warning)
	}
	if format == formatLine {
		a.line("%s %s%s", name, outcome(response), dryRunMark(o.dryRun))
		return nil
	}
	return a.writeObjects(format, []proto.Message{msg}, true)
}

// readChange reads --type and the patch.
func (a *app) readChange(o *patchOptions) (change, error) {
	name, data := "-p", []byte(o.text)
	switch {
	case o.text != "" && o.file != "":
		return nil, usagef("-p goes without --patch-file")
	case o.text == "" && o.file == "":
		return nil, usagef("-p or --patch-file is needed: the patch")
	case o.file != "":
		var err error
		if _, data, err = a.readInput(o.file); err != nil {
			return nil, usagef("--patch-file: %w", err)
		}
		name = "--patch-file"
	}
	tree, err := decodeTree(data)
	if err != nil {
		return nil, usagef("%s: neither JSON nor YAML: %w", name, err)
	}
	switch o.kind {
	case "merge":
		if _, ok := tree.(map[string]any); !ok {
			return nil, usagef("%s: a merge patch of an object is an object", name)
		}
		return func(old any) (any, error) { return patch.Merge(old, tree), nil }, nil
	case "json":
		operations, err := patch.Parse(tree)
		if err != nil {
			return nil, usagef("%s: %w", name, err)
		}
		return func(old any) (any, error) { return patch.Apply(old, operations) }, nil
	}
	return nil, usagef("--type %q: want merge or json", o.kind)
}

// patched applies a change to an object. The result has the resource version
// of the object, so that it replaces nothing newer.
func patched(old proto.Message, c change) (resource.Manifest, error) {
	data, err := resource.ToJSON(old)
	if err != nil {
		return resource.Manifest{}, err
	}
	before, err := decodeTree(data)
	if err != nil {
		return resource.Manifest{}, fmt.Errorf("read own JSON: %w", err)
	}
	after, err := c(before)
	if err != nil {
		return resource.Manifest{}, fmt.Errorf("patch: %w", err)
	}
	if data, err = json.Marshal(withoutServerSet(before, after)); err != nil {
		return resource.Manifest{}, fmt.Errorf("render patched object: %w", err)
	}
	m, err := resource.FromJSON(data)
	var invalid *resource.Invalid
	if errors.As(err, &invalid) {
		invalid.Source = "after the patch"
		for i := range invalid.Problems {
			invalid.Problems[i].Line = 0 // of a text that nobody has seen
		}
	}
	if err != nil {
		return m, err
	}
	is, was := refOf(m.Message), refOf(old)
	if is != was {
		return m, fmt.Errorf("a patch cannot turn %s into %s", was, is)
	}
	meta := resource.MetadataOf(m.Message)
	if meta.GetResourceVersion() != revisionOf(old) && meta.GetResourceVersion() != "" {
		return m, fmt.Errorf("metadata.resourceVersion: the patch is for %s, the object is at %s", meta.GetResourceVersion(), revisionOf(old))
	}
	meta.ResourceVersion = proto.String(revisionOf(old))
	return m, nil
}

// withoutServerSet takes out what only the server sets, where the patch left
// it as it was: what it did change is then warned about.
func withoutServerSet(before, after any) any {
	was, ok1 := before.(map[string]any)
	is, ok2 := after.(map[string]any)
	if !ok1 || !ok2 {
		return after
	}
	is = patch.Merge(is, map[string]any{}).(map[string]any) // a copy
	drop := func(was, is map[string]any, names ...string) {
		for _, name := range names {
			if reflect.DeepEqual(was[name], is[name]) {
				delete(is, name)
			}
		}
	}
	drop(was, is, "status")
	wasMeta, ok1 := was["metadata"].(map[string]any)
	isMeta, ok2 := is["metadata"].(map[string]any)
	if ok1 && ok2 {
		isMeta = patch.Merge(isMeta, map[string]any{}).(map[string]any)
		drop(wasMeta, isMeta, "uid", "creationTimestamp", "generation")
		is["metadata"] = isMeta
	}
	return is
}
