package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

type deleteOptions struct {
	files          []string
	namespace      namespaceFlag
	allNamespaces  bool
	selector       string
	all            bool
	dryRun         bool
	ignoreNotFound bool
}

func (a *app) deleteCommand() *cobra.Command {
	var o deleteOptions
	c := &cobra.Command{
		Use:   "delete KIND NAME... | KIND -l SELECTOR | -f FILE|DIR|-",
		Short: "Delete objects by name, selector or manifest",
		Example: `  vrouterctl delete bgppeer tor1 tor2
  vrouterctl delete bgppeer -l rack==3
  vrouterctl delete -f pools/ --ignore-not-found`,
		ValidArgsFunction: a.completeObjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.namespace.given = cmd.Flags().Changed("namespace")
			return a.delete(cmd.Context(), args, &o)
		},
	}
	flags := c.Flags()
	bindFiles(c, &o.files)
	flags.StringVarP(&o.namespace.name, "namespace", "n", resource.DefaultNamespace, "namespace of the objects")
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "with -l or --all: in every namespace")
	flags.StringVarP(&o.selector, "selector", "l", "", "delete those whose labels match the selector")
	flags.BoolVar(&o.all, "all", false, "delete all of the kind")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be deleted, and delete nothing")
	flags.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "an object that does not exist is no error")
	return c
}

func (a *app) delete(ctx context.Context, args []string, o *deleteOptions) error {
	t, err := a.deleteTarget(args, o)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	refs := t.refs
	if len(t.kinds) > 0 {
		if refs, err = a.listRefs(ctx, c, t, o); err != nil {
			return err
		}
		if len(refs) == 0 {
			fmt.Fprintln(a.Err, "No resources found")
		}
	}
	a.newProgress("delete", len(refs))
	var failed tally
	done := 0
	for _, r := range refs {
		err := a.deleteOne(ctx, c, r, o)
		a.progress.step(1)
		if err == nil {
			done++
			continue
		}
		a.printError("", r.String(), err)
		if !failed.fail(err) {
			break
		}
	}
	a.progress.clear()
	return a.ended(&failed, len(refs), done)
}

// deleteTarget reads what is to be deleted, and refuses what is more than the
// operator may have meant.
func (a *app) deleteTarget(args []string, o *deleteOptions) (target, error) {
	if len(o.files) > 0 {
		if len(args) > 0 || o.selector != "" || o.all {
			return target{}, usagef("-f goes with neither KIND, -l nor --all")
		}
		manifests, err := a.readManifests(o.files, o.namespace)
		if err != nil {
			return target{}, err
		}
		var t target
		for _, m := range slices.Backward(manifests) { // what refers to others goes first
			t.refs = append(t.refs, refOf(m.Message))
		}
		return t, nil
	}
	t, err := parseTarget(args, o.namespace.name)
	if err != nil {
		return t, err
	}
	bulk := o.selector != "" || o.all
	switch {
	case len(t.refs) > 0 && bulk:
		return t, usagef("-l and --all go without NAME")
	case len(t.refs) == 0 && !bulk:
		return t, usagef("NAME, -l or --all is needed: which objects to delete")
	case o.selector != "" && o.all:
		return t, usagef("-l goes without --all")
	case o.allNamespaces && o.namespace.given:
		return t, usagef("-A goes without -n")
	}
	_, err = parseSelector(o.selector)
	return t, err
}

func (a *app) listRefs(ctx context.Context, c *client, t target, o *deleteOptions) ([]ref, error) {
	var refs []ref
	for _, kind := range slices.Backward(t.kinds) {
		scope := scope{namespace: o.namespace.name, selector: o.selector}
		if o.allNamespaces {
			scope.namespace = ""
		}
		messages, err := a.list(ctx, c, kind, scope)
		if err != nil {
			return nil, err
		}
		for _, msg := range messages {
			refs = append(refs, refOf(msg))
		}
	}
	return refs, nil
}

func (a *app) deleteOne(ctx context.Context, c *client, r ref, o *deleteOptions) error {
	var err error
	var response *vrouterv1.DeleteResponse
	if o.dryRun {
		_, err = getObject(ctx, c, r)
	} else {
		response, err = c.resources.Delete(ctx, &vrouterv1.DeleteRequest{Kind: string(r.kind), Namespace: r.namespace, Name: r.name})
	}
	if status.Code(err) == codes.NotFound && o.ignoreNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for _, warning := range response.GetWarnings() {
		a.warn(r.String(), warning)
	}
	a.line("%s deleted%s", r, dryRunMark(o.dryRun))
	return nil
}
