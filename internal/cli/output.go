package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// format is a value of -o.
type format string

const (
	formatLine  format = "line" // one line per object written; the default there
	formatTable format = "table"
	formatWide  format = "wide"
	formatYAML  format = "yaml"
	formatJSON  format = "json"
	formatName  format = "name"
)

// bindOutput adds -o with its default and the other values that it takes.
func bindOutput(c *cobra.Command, value *string, otherwise string, formats ...format) {
	names := append([]string{otherwise}, formatNames(formats)...)
	c.Flags().StringVarP(value, "output", "o", otherwise, "`format`: "+strings.Join(names, "|"))
	// The error is that of a flag that does not exist.
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// parseFormat reads -o.
func parseFormat(value, otherwise string, formats ...format) (format, error) {
	if value == otherwise || slices.Contains(formats, format(value)) {
		return format(value), nil
	}
	return "", usagef("-o %q: want one of %s, %s", value, otherwise, strings.Join(formatNames(formats), ", "))
}

func formatNames(formats []format) []string {
	var names []string
	for _, f := range formats {
		names = append(names, string(f))
	}
	return names
}

// writeObjects prints objects; bare prints the only one without a list around
// it, where that makes a difference.
func (a *app) writeObjects(f format, messages []proto.Message, bare bool) error {
	a.progress.clear()
	bare = bare && len(messages) == 1
	switch f {
	case formatYAML, formatJSON:
		data, err := renderObjects(f, messages, bare)
		if err != nil {
			return err
		}
		return a.write(data)
	case formatName:
		for _, msg := range messages {
			a.line("%s", refOf(msg))
		}
		return nil
	}
	return a.writeTables(messages, f == formatWide)
}

func renderObjects(f format, messages []proto.Message, bare bool) ([]byte, error) {
	switch {
	case f == formatYAML && bare:
		return resource.ToYAML(messages[0])
	case f == formatYAML:
		return resource.ListToYAML(messages)
	case bare:
		return resource.ToJSON(messages[0])
	}
	return resource.ListToJSON(messages)
}

// writeTables prints one table for each kind, in the order of the objects.
func (a *app) writeTables(messages []proto.Message, wide bool) error {
	for i := 0; len(messages) > 0; i++ {
		kind := resource.KindOf(messages[0])
		n := slices.IndexFunc(messages, func(m proto.Message) bool { return resource.KindOf(m) != kind })
		if n < 0 {
			n = len(messages)
		}
		if i > 0 {
			a.line("")
		}
		t := a.newTable(wide, columns(kind, wide)...)
		for _, msg := range messages[:n] {
			t.add(row(msg, wide)...)
		}
		if err := t.flush(a.Out); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// columns are the headings of a kind.
func columns(kind resource.Kind, wide bool) []string {
	names := resource.Columns(kind, wide)
	for i, name := range names {
		// The longest texts are lists; the rest is worth its width.
		if name == "NETWORKS" || name == "PROFILES" || name == "SELECTOR" {
			names[i] = flexible + name
		}
	}
	if resource.Namespaced(kind) {
		names = slices.Insert(names, 0, "NAMESPACE")
	}
	return names
}

// row is an object under columns.
func row(msg proto.Message, wide bool) []string {
	cells := resource.Row(msg, wide)
	if resource.Namespaced(resource.KindOf(msg)) {
		cells = slices.Insert(cells, 0, resource.MetadataOf(msg).GetNamespace())
	}
	return cells
}

// writeMessage prints an answer of the API that is no object.
func (a *app) writeMessage(f format, msg proto.Message) error {
	data, err := messageJSON(msg)
	if err != nil {
		return err
	}
	return a.writeTree(f, data)
}

// writeTree prints JSON as JSON or YAML.
func (a *app) writeTree(f format, data []byte) error {
	var err error
	if f == formatYAML {
		data, err = jsonToYAML(data)
	} else {
		var b bytes.Buffer
		err = json.Indent(&b, data, "", "  ")
		b.WriteByte('\n')
		data = b.Bytes()
	}
	if err != nil {
		return fmt.Errorf("render answer: %w", err)
	}
	return a.write(data)
}

func (a *app) write(data []byte) error {
	a.progress.clear()
	if _, err := a.Out.Write(data); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// messageJSON renders a message with every field, those at their default
// included, so that programs find what they look for. Protojson spaces its
// output at random on purpose; compacting takes that away.
func messageJSON(msg proto.Message) ([]byte, error) {
	data, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("render answer: %w", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return nil, fmt.Errorf("render answer: %w", err)
	}
	return b.Bytes(), nil
}

// jsonToYAML renders JSON, which is YAML, in YAML's own style; the order of
// fields stays.
func jsonToYAML(data []byte) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil {
		return nil, err
	}
	restyle(&node)
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return nil, err
	}
	err := encoder.Close()
	return b.Bytes(), err
}

func restyle(node *yaml.Node) {
	node.Style = 0
	for _, child := range node.Content {
		restyle(child)
	}
}

// decodeTree reads JSON or YAML of one document into a tree with json.Number.
func decodeTree(data []byte) (any, error) {
	if !json.Valid(data) {
		var value any
		if err := yaml.Unmarshal(data, &value); err != nil {
			return nil, err
		}
		var err error
		if data, err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil && err != io.EOF {
		return nil, err
	}
	return tree, nil
}
