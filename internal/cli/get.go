package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

type getOptions struct {
	files         []string
	namespace     namespaceFlag
	allNamespaces bool
	selector      string
	output        string
	watch         bool
}

func (a *app) getCommand() *cobra.Command {
	var o getOptions
	c := &cobra.Command{
		Use:   "get KIND[,KIND...]|all [NAME...] | KIND/NAME... | -f FILE|DIR|-",
		Short: "Show objects",
		Long:  "Show objects. The kinds, also by Calico's short names, are:\n" + folded(kindList()),
		Example: `  vrouterctl get bgppeers
  vrouterctl get node host1 -o yaml
  vrouterctl get workloadendpoints -A -l 'app == "web"' --watch`,
		ValidArgsFunction: a.completeObjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.namespace.given = cmd.Flags().Changed("namespace")
			return a.get(cmd.Context(), args, &o)
		},
	}
	flags := c.Flags()
	bindFiles(c, &o.files)
	flags.StringVarP(&o.namespace.name, "namespace", "n", resource.DefaultNamespace, "namespace of the objects")
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "in every namespace")
	flags.StringVarP(&o.selector, "selector", "l", "", "those whose labels match the selector")
	flags.BoolVarP(&o.watch, "watch", "w", false, "go on showing what changes, until interrupted")
	bindOutput(c, &o.output, "table", formatWide, formatYAML, formatJSON, formatName)
	return c
}

// scope is which objects of a kind are meant.
type scope struct {
	namespace string // empty: all
	selector  string // empty: all
}

func (a *app) get(ctx context.Context, args []string, o *getOptions) error {
	format, err := parseFormat(o.output, "table", formatWide, formatYAML, formatJSON, formatName)
	if err != nil {
		return err
	}
	t, err := a.getTarget(args, o)
	if err != nil {
		return err
	}
	s := scope{namespace: o.namespace.name, selector: o.selector}
	if o.allNamespaces {
		s.namespace = ""
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	switch {
	case o.watch:
		return a.watchObjects(ctx, c, t, s, format)
	case len(t.refs) > 0:
		return a.getNamed(ctx, c, t.refs, format)
	}
	return a.getKinds(ctx, c, t.kinds, s, format)
}

func (a *app) getTarget(args []string, o *getOptions) (target, error) {
	if _, err := parseSelector(o.selector); err != nil {
		return target{}, err
	}
	if o.allNamespaces && o.namespace.given {
		return target{}, usagef("-A goes without -n")
	}
	if len(o.files) > 0 {
		if len(args) > 0 {
			return target{}, usagef("-f goes without KIND")
		}
		manifests, err := a.readManifests(o.files, o.namespace)
		var t target
		for _, m := range manifests {
			t.refs = append(t.refs, refOf(m.Message))
		}
		return t, err
	}
	t, err := parseTarget(args, o.namespace.name)
	if err == nil && len(t.refs) > 0 && o.selector != "" {
		return t, usagef("-l goes without NAME")
	}
	if err == nil && len(t.refs) > 0 && o.allNamespaces {
		return t, usagef("-A goes without NAME")
	}
	return t, err
}

// getNamed shows objects by name; those that are missing do not hide others.
func (a *app) getNamed(ctx context.Context, c *client, refs []ref, f format) error {
	var found []proto.Message
	var failed tally
	for _, r := range refs {
		msg, err := getObject(ctx, c, r)
		if err == nil {
			found = append(found, msg)
			continue
		}
		a.printError("", r.String(), err)
		if !failed.fail(err) {
			break
		}
	}
	if len(found) > 0 {
		if err := a.writeObjects(f, found, len(refs) == 1); err != nil {
			return err
		}
	}
	return failed.err()
}

// getKinds shows all objects of some kinds.
func (a *app) getKinds(ctx context.Context, c *client, kinds []resource.Kind, s scope, f format) error {
	var all []proto.Message
	a.newProgress("read", 0)
	for _, kind := range kinds {
		messages, err := a.list(ctx, c, kind, s)
		if err != nil {
			return err
		}
		all = append(all, messages...)
	}
	a.progress.clear()
	if len(all) == 0 && (f == formatTable || f == formatWide || f == formatName) {
		a.nothingFound(kinds, s)
		return nil
	}
	return a.writeObjects(f, all, false)
}

// nothingFound says so beside the output, which stays empty.
func (a *app) nothingFound(kinds []resource.Kind, s scope) {
	if s.namespace != "" && len(kinds) == 1 && resource.Namespaced(kinds[0]) {
		fmt.Fprintf(a.Err, "No resources found in namespace %s\n", printable(s.namespace))
		return
	}
	fmt.Fprintln(a.Err, "No resources found")
}

// list reads all pages of a kind.
func (a *app) list(ctx context.Context, c *client, kind resource.Kind, s scope) ([]proto.Message, error) {
	request := &vrouterv1.ListRequest{Kind: string(kind), LabelSelector: s.selector}
	if resource.Namespaced(kind) {
		request.Namespace = s.namespace
	}
	var all []proto.Message
	for {
		page, err := c.resources.List(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, r := range page.GetResources() {
			msg, err := unwrap(r)
			if err != nil {
				return nil, err
			}
			all = append(all, msg)
		}
		a.progress.step(len(page.GetResources()))
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return all, nil
		}
	}
}
