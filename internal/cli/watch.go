package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// watchObjects shows objects and then every change, until interrupted.
func (a *app) watchObjects(ctx context.Context, c *client, t target, s scope, f format) error {
	kinds := slices.Clone(t.kinds)
	for _, r := range t.refs {
		if !slices.Contains(kinds, r.kind) {
			kinds = append(kinds, r.kind)
		}
	}
	if len(kinds) > 1 && (f == formatTable || f == formatWide) {
		return usagef("-w with a table goes with one kind; -o name, yaml and json take several")
	}
	match, err := s.matcher(t.refs)
	if err != nil {
		return err
	}
	wide := f == formatWide
	w := a.eventWriter(f, columns(kinds[0], wide), func(msg proto.Message) [][]cell {
		return [][]cell{textCells(row(msg, wide))}
	})
	follow := follower{app: a, match: match, emit: w.emit, flush: w.flush, open: openResources(c, kinds)}
	return follow.run(ctx)
}

// matcher tells which objects are meant: those of refs, else those of the
// scope. The watch of the API filters by kind only.
func (s scope) matcher(refs []ref) (func(proto.Message) bool, error) {
	wanted, err := parseSelector(s.selector)
	if err != nil {
		return nil, err
	}
	keys := make(map[ref]bool, len(refs))
	for _, r := range refs {
		id, err := resource.FindID(r.kind, r.namespace, r.name)
		if err != nil {
			return nil, usagef("%s: %w", r, err)
		}
		keys[ref{id.Kind, id.Namespace, id.Name}] = true
	}
	return func(msg proto.Message) bool {
		if len(keys) > 0 {
			return keys[refOf(msg)]
		}
		meta := resource.MetadataOf(msg)
		if s.namespace != "" && resource.Namespaced(resource.KindOf(msg)) && meta.GetNamespace() != s.namespace {
			return false
		}
		return wanted.Matches(meta.GetLabels())
	}, nil
}

// openResources opens streams of ResourceService.Watch.
func openResources(c *client, kinds []resource.Kind) source {
	request := &vrouterv1.WatchRequest{}
	for _, kind := range kinds {
		request.Kinds = append(request.Kinds, string(kind))
	}
	return updates(func(ctx context.Context, after int64) (grpc.ServerStreamingClient[vrouterv1.WatchResponse], error) {
		request.AfterRevision = after
		return c.resources.Watch(ctx, request)
	}, resourceUpdate)
}

func resourceUpdate(response *vrouterv1.WatchResponse) (update, error) {
	switch event := response.GetEvent().(type) {
	case *vrouterv1.WatchResponse_Put:
		msg, err := unwrap(event.Put)
		if err != nil {
			return update{}, err
		}
		return update{object: msg, key: refOf(msg)}, nil
	case *vrouterv1.WatchResponse_Delete:
		d := event.Delete
		key := ref{resource.Kind(d.GetKind()), d.GetNamespace(), d.GetName()}
		if id, err := resource.FindID(key.kind, key.namespace, key.name); err == nil {
			key.name = id.Name // Calico's name of an endpoint
		}
		return update{key: key, gone: true}, nil
	case *vrouterv1.WatchResponse_Synced_:
		return update{synced: true, revision: event.Synced.GetRevision()}, nil
	case *vrouterv1.WatchResponse_Progress_:
		return update{revision: event.Progress.GetRevision()}, nil
	}
	return update{}, nil // an event of a newer server
}

// eventWriter shows events in a format.
type eventWriter struct {
	app    *app
	format format
	table  *table
	rows   func(proto.Message) [][]cell // of a table
	plain  bool                         // the messages are no objects
}

func (a *app) eventWriter(f format, columns []string, rows func(proto.Message) [][]cell) *eventWriter {
	names := append([]string{"EVENT"}, columns...)
	t := a.newTable(f == formatWide, names...)
	t.widths = make([]int, len(names))
	t.widths[0] = len(eventModified) // so that the columns stay when the first one comes
	return &eventWriter{app: a, format: f, table: t, rows: rows}
}

func (w *eventWriter) emit(event string, msg proto.Message) error {
	switch w.format {
	case formatName:
		w.app.line("%s %s", refOf(msg), event)
	case formatJSON:
		return w.emitJSON(event, msg)
	case formatYAML:
		data, err := w.yaml(msg)
		if err != nil {
			return err
		}
		return w.app.write(fmt.Appendf(nil, "---\n# %s\n%s", event, data))
	default:
		head := cell{event, eventTone(event)}
		for _, row := range w.rows(msg) {
			w.table.addCells(append([]cell{head}, row...)...)
			head = cell{}
		}
	}
	return nil
}

func (w *eventWriter) yaml(msg proto.Message) ([]byte, error) {
	if !w.plain {
		return resource.ToYAML(msg)
	}
	data, err := messageJSON(msg)
	if err != nil {
		return nil, err
	}
	return jsonToYAML(data)
}

func (w *eventWriter) json(msg proto.Message) ([]byte, error) {
	if w.plain {
		return messageJSON(msg)
	}
	return resource.ToJSON(msg)
}

// emitJSON prints one event as one line, as Kubernetes' watch does.
func (w *eventWriter) emitJSON(event string, msg proto.Message) error {
	data, err := w.json(msg)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"type":%q,"object":`, event)
	if err := json.Compact(&b, data); err != nil {
		return fmt.Errorf("render event: %w", err)
	}
	b.WriteString("}\n")
	return w.app.write(b.Bytes())
}

func (w *eventWriter) flush() error {
	if w.table.headed && len(w.table.rows) == 0 {
		return nil
	}
	if w.format != formatTable && w.format != formatWide {
		return nil
	}
	return w.table.flush(w.app.Out)
}

func eventTone(event string) tone {
	switch event {
	case eventAdded:
		return good
	case eventDeleted:
		return bad
	}
	return doubtful
}
