package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) applyCommand() *cobra.Command {
	c := a.putCommand("apply", vrouterv1.PutMode_PUT_MODE_APPLY)
	c.Short = "Create objects, or replace those that exist, from manifests"
	c.Long = `Make the objects of the manifests what they say: those that do not exist are
created, others have their whole spec replaced. A resourceVersion in a manifest
must be that of the stored object; where none is stored it is ignored.

Manifests of vrouter (apiVersion vrouter/v1) and of Calico
(projectcalico.org/v3) are read, many documents to a file, and List documents.
All are read before the first is sent; if one cannot be read, none is.`
	c.Example = `  vrouterctl apply -f peers.yaml -f pools/
  kubectl get ippools -o yaml | vrouterctl apply -f -`
	return c
}

func (a *app) createCommand() *cobra.Command {
	c := a.putCommand("create", vrouterv1.PutMode_PUT_MODE_CREATE)
	c.Short = "Create objects from manifests; one that exists is an error"
	c.Long = c.Short + `.

A resourceVersion in a manifest is ignored.`
	return c
}

func (a *app) replaceCommand() *cobra.Command {
	c := a.putCommand("replace", vrouterv1.PutMode_PUT_MODE_REPLACE)
	c.Short = "Replace objects from manifests; one that does not exist is an error"
	c.Long = c.Short + `.

A manifest with a resourceVersion replaces that version only; without one it
replaces whichever there is.`
	return c
}

// putCommand is what apply, create and replace have in common.
func (a *app) putCommand(verb string, mode vrouterv1.PutMode) *cobra.Command {
	var o writeOptions
	c := &cobra.Command{
		Use:  verb + " -f FILE|DIR|-",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.namespace.given = cmd.Flags().Changed("namespace")
			return a.put(cmd.Context(), verb, mode, &o)
		},
	}
	o.bind(c)
	return c
}

// writeOptions are the flags of the commands that write.
type writeOptions struct {
	files     []string
	namespace namespaceFlag
	dryRun    bool
	output    string
}

func (o *writeOptions) bind(c *cobra.Command) {
	flags := c.Flags()
	bindFiles(c, &o.files)
	flags.StringVarP(&o.namespace.name, "namespace", "n", resource.DefaultNamespace, "namespace of objects that state none")
	flags.BoolVar(&o.dryRun, "dry-run", false, "let vrouterd check everything, and write nothing")
	bindOutput(c, &o.output, "line", formatName, formatYAML, formatJSON)
}

func bindFiles(c *cobra.Command, files *[]string) {
	c.Flags().StringArrayVarP(files, "filename", "f", nil, "manifest `file`, directory of manifests, or - for standard input; may be repeated")
	_ = c.MarkFlagFilename("filename", "yaml", "yml", "json") // only completion; the flag exists
}

func (a *app) put(ctx context.Context, verb string, mode vrouterv1.PutMode, o *writeOptions) error {
	if len(o.files) == 0 {
		return usagef("-f is needed: the manifest to %s", verb)
	}
	format, err := parseFormat(o.output, "line", formatName, formatYAML, formatJSON)
	if err != nil {
		return err
	}
	manifests, err := a.readManifests(o.files, o.namespace)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	a.newProgress(verb, len(manifests))
	var t tally
	var done []proto.Message
	for _, m := range manifests {
		msg, err := a.putOne(ctx, c, m, mode, o.dryRun, format)
		a.progress.step(1)
		if err == nil {
			done = append(done, msg)
			continue
		}
		a.printError(m.Source, refOf(m.Message).String(), err)
		if !t.fail(err) {
			break
		}
	}
	a.progress.clear()
	if format == formatYAML || format == formatJSON {
		if err := a.writeObjects(format, done, len(manifests) == 1); err != nil {
			return err
		}
	}
	return a.ended(&t, len(manifests), len(done))
}

// ended sums failures up where there is more than one object.
func (a *app) ended(t *tally, total, done int) error {
	if t.failures == 0 || total < 2 {
		return t.err()
	}
	text := fmt.Sprintf("%d of %d objects failed", t.failures, total)
	if left := total - done - t.failures; left > 0 {
		text += fmt.Sprintf(", %d not tried", left)
	}
	fmt.Fprintln(a.Err, text)
	return t.err()
}

// putOne writes one object and reports what became of it.
func (a *app) putOne(ctx context.Context, c *client, m resource.Manifest, mode vrouterv1.PutMode, dryRun bool, f format) (proto.Message, error) {
	response, err := putObject(ctx, c, m.Message, mode, dryRun)
	if err != nil {
		return nil, err
	}
	name := refOf(m.Message).String()
	for _, warning := range response.GetWarnings() {
		a.warn(name, warning)
	}
	msg, err := unwrap(response.GetResource())
	if err != nil {
		return nil, err
	}
	switch f {
	case formatName:
		a.line("%s", name)
	case formatLine:
		a.line("%s %s%s", name, outcome(response), dryRunMark(dryRun))
	}
	return msg, nil
}

func outcome(response *vrouterv1.PutResponse) string {
	switch {
	case response.GetCreated():
		return "created"
	case response.GetUnchanged():
		return "unchanged"
	}
	return "configured"
}

func dryRunMark(dryRun bool) string {
	if dryRun {
		return " (dry run)"
	}
	return ""
}

// putObject writes one object. A replacement without resource version takes
// that of the stored object, again if others are faster. What is created has no
// use for one, as with calicoctl: the manifest is of another store.
func putObject(ctx context.Context, c *client, msg proto.Message, mode vrouterv1.PutMode, dryRun bool) (*vrouterv1.PutResponse, error) {
	put := func(msg proto.Message) (*vrouterv1.PutResponse, error) {
		return c.resources.Put(ctx, &vrouterv1.PutRequest{Resource: resource.Wrap(msg), Mode: mode, DryRun: dryRun})
	}
	versioned := revisionOf(msg) != ""
	switch {
	case versioned && mode == vrouterv1.PutMode_PUT_MODE_CREATE:
		return createObject(ctx, c, msg, dryRun)
	case versioned && mode == vrouterv1.PutMode_PUT_MODE_APPLY:
		response, err := put(msg)
		if code := status.Code(err); code != codes.Aborted && code != codes.InvalidArgument {
			return response, err
		}
		if _, missing := getObject(ctx, c, refOf(msg)); status.Code(missing) != codes.NotFound {
			return nil, err
		}
		return createObject(ctx, c, msg, dryRun)
	case versioned || mode != vrouterv1.PutMode_PUT_MODE_REPLACE:
		return put(msg)
	}
	return retryConflict(ctx, func() (*vrouterv1.PutResponse, error) {
		old, err := getObject(ctx, c, refOf(msg))
		if err != nil {
			return nil, err
		}
		msg := proto.Clone(msg)
		resource.MetadataOf(msg).ResourceVersion = proto.String(revisionOf(old))
		return put(msg)
	})
}

// createObject writes a new object without the resource version that it has.
func createObject(ctx context.Context, c *client, msg proto.Message, dryRun bool) (*vrouterv1.PutResponse, error) {
	msg = proto.Clone(msg)
	resource.SetVersion(msg, 0)
	response, err := c.resources.Put(ctx, &vrouterv1.PutRequest{
		Resource: resource.Wrap(msg), Mode: vrouterv1.PutMode_PUT_MODE_CREATE, DryRun: dryRun,
	})
	if err == nil {
		response.Warnings = append(response.Warnings, "metadata.resourceVersion: ignored, the object is new")
	}
	return response, err
}

// retryConflict repeats a read and write while others change the object
// between the two: five times, which is plenty even for many writers.
func retryConflict(ctx context.Context, write func() (*vrouterv1.PutResponse, error)) (*vrouterv1.PutResponse, error) {
	const attempts = 5
	for i := 1; ; i++ {
		response, err := write()
		if status.Code(err) != codes.Aborted || i == attempts || ctx.Err() != nil {
			return response, err
		}
	}
}

// getObject reads one object.
func getObject(ctx context.Context, c *client, r ref) (proto.Message, error) {
	response, err := c.resources.Get(ctx, &vrouterv1.GetRequest{Kind: string(r.kind), Namespace: r.namespace, Name: r.name})
	if err != nil {
		return nil, err
	}
	return unwrap(response.GetResource())
}
