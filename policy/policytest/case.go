package policytest

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

//go:embed testdata/*.yaml testdata/*.txtar
var testdata embed.FS

// Case is what is stored, and probes with the verdicts that the semantics give
// them, worked out by hand.
type Case struct {
	Name    string
	Objects []resource.Object
	Probes  []Probe
}

// Cases returns all cases of testdata. A file has a comment, then for each case
// a part NAME.yaml with manifests and a part NAME.jsonl with probes. The
// manifests come on top of those of site.yaml: they replace what has the same
// name.
func Cases() ([]Case, error) {
	names, err := testdata.ReadDir("testdata")
	if err != nil {
		return nil, err
	}
	var cases []Case
	var errs []error
	for _, entry := range names {
		if path.Ext(entry.Name()) != ".txtar" {
			continue
		}
		list, err := readCases(entry.Name())
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", entry.Name(), err))
		}
		cases = append(cases, list...)
	}
	return cases, errors.Join(errs...)
}

func readCases(file string) ([]Case, error) {
	data, err := testdata.ReadFile("testdata/" + file)
	if err != nil {
		return nil, err
	}
	parts := split(data)
	if len(parts)%2 != 0 {
		return nil, fmt.Errorf("%d parts, not one of manifests and one of probes for each case", len(parts))
	}
	var cases []Case
	for pair := range slices.Chunk(parts, 2) {
		name := strings.TrimSuffix(pair[0].name, ".yaml")
		if name == pair[0].name || pair[1].name != name+".jsonl" {
			return nil, fmt.Errorf("%s and %s are no case", pair[0].name, pair[1].name)
		}
		c := Case{Name: strings.TrimSuffix(file, ".txtar") + "/" + name}
		if c.Objects, err = objects(pair[0].data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if c.Probes, err = ParseProbes(pair[1].data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

// part is a file of a txtar archive.
type part struct {
	name string
	data []byte
}

// split reads a txtar archive: "-- NAME --" begins a file.
func split(data []byte) []part {
	var parts []part
	for line := range bytes.Lines(data) {
		text := strings.TrimSpace(string(line))
		name, isName := strings.CutPrefix(text, "-- ")
		name, ends := strings.CutSuffix(name, " --")
		switch {
		case isName && ends:
			parts = append(parts, part{name: name})
		case len(parts) > 0:
			last := &parts[len(parts)-1]
			last.data = append(last.data, line...)
		}
	}
	return parts
}

// objects returns the site's with those of the manifests over them.
func objects(manifests []byte) ([]resource.Object, error) {
	site, err := testdata.ReadFile("testdata/site.yaml")
	if err != nil {
		return nil, err
	}
	var list []resource.Object
	for _, text := range [][]byte{site, manifests} {
		read, err := resource.ReadManifests("", text)
		if err != nil {
			return nil, err
		}
		for _, m := range read {
			resource.Canonicalize(m.Message)
			o, err := resource.Check(m.Message)
			if err != nil {
				return nil, err
			}
			id := o.Metadata().ID
			list = slices.DeleteFunc(list, func(old resource.Object) bool { return old.Metadata().ID == id })
			list = append(list, o)
		}
	}
	return list, nil
}
