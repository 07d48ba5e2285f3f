package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// readManifests is parseManifests for objects that are to be written or named:
// what was ignored of them is told.
func (a *app) readManifests(paths []string, namespace namespaceFlag) ([]resource.Manifest, error) {
	manifests, err := a.parseManifests(paths, namespace)
	for _, m := range manifests {
		for _, warning := range m.Warnings {
			a.warn(m.Source, warning)
		}
	}
	return manifests, err
}

// parseManifests reads every -f: a file, a directory (its .yaml, .yml and .json
// files in the order of their names) or - for standard input. All problems of
// all files are reported at once. The objects come in the order in which they
// are best applied: what others refer to first.
func (a *app) parseManifests(paths []string, namespace namespaceFlag) ([]resource.Manifest, error) {
	var manifests []resource.Manifest
	var problems []error
	for _, path := range paths {
		files, err := manifestFiles(path)
		if err != nil {
			problems = append(problems, fmt.Errorf("-f: %w", err))
		}
		for _, file := range files {
			more, err := a.readManifest(file)
			manifests = append(manifests, more...)
			if err != nil {
				problems = append(problems, err)
			}
		}
	}
	for _, m := range manifests {
		if err := namespace.fill(m.Message); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.Source, err))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(manifests) == 0 {
		return nil, fmt.Errorf("-f %s: no object in it", strings.Join(paths, ", "))
	}
	order := resource.Kinds()
	slices.SortStableFunc(manifests, func(a, b resource.Manifest) int {
		return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
	})
	return manifests, nil
}

// manifestFiles lists the files of one -f.
func manifestFiles(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		extension := filepath.Ext(entry.Name())
		if !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, extension) {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no .yaml, .yml or .json file", path)
	}
	return files, nil
}

func (a *app) readManifest(path string) ([]resource.Manifest, error) {
	name, data, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	return resource.ReadManifests(name, data)
}

// readInput reads a file, or standard input for -.
func (a *app) readInput(path string) (name string, data []byte, err error) {
	if path != "-" {
		data, err = os.ReadFile(path)
		return path, data, err
	}
	name = "standard input"
	if data, err = io.ReadAll(a.In); err != nil {
		return name, nil, fmt.Errorf("read %s: %w", name, err)
	}
	return name, data, nil
}

// namespaceFlag is -n.
type namespaceFlag struct {
	name  string
	given bool
}

// fill gives an object without namespace that of the flag, and refuses one
// with another than the flag says.
func (n namespaceFlag) fill(msg proto.Message) error {
	if !resource.Namespaced(resource.KindOf(msg)) {
		return nil
	}
	meta := resource.MetadataOf(msg)
	switch {
	case meta.GetNamespace() == "":
		meta.Namespace = proto.String(n.name)
	case n.given && meta.GetNamespace() != n.name:
		return fmt.Errorf("metadata.namespace: %q is not the namespace of -n, %q", meta.GetNamespace(), n.name)
	}
	return nil
}
