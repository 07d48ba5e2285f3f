package calico

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// The kinds that are no manifests of ours.
const (
	kindBlock    = "IPAMBlock"
	kindAffinity = "BlockAffinity"
	kindHandle   = "IPAMHandle"
	kindConfig   = "IPAMConfig"
	kindCluster  = "ClusterInformation"
)

// read takes a file: manifests; or the three parts that `calicoctl datastore
// migrate export` writes, with a line === between them.
func (c *conversion) read(f File) {
	parts := sections(f.Data)
	c.documents(f.Name, parts[0])
	switch len(parts) {
	case 1:
	case 3:
		c.foreign(resource.Foreign{Source: f.Name + ": part 2 (cluster information)", Kind: kindCluster, JSON: parts[1]}, true)
		c.state(f.Name+": part 3 (IPAM)", parts[2])
	default:
		c.problems.Add(f.Name, fmt.Errorf("it has %d parts, and `calicoctl datastore migrate export` writes 3: is it whole?", len(parts)))
	}
}

// sections splits a text at the lines that are ===.
func sections(data []byte) [][]byte {
	var out [][]byte
	for start, at := 0, 0; ; {
		end := bytes.IndexByte(data[at:], '\n')
		line := data[at:]
		if end >= 0 {
			line = data[at : at+end]
		}
		if string(bytes.TrimSuffix(line, []byte("\r"))) == "===" {
			out = append(out, data[start:at])
			start = at + min(len(line)+1, len(data)-at)
		}
		if end < 0 {
			return append(out, data[start:])
		}
		at += end + 1
	}
}

// documents takes manifests.
func (c *conversion) documents(name string, data []byte) {
	manifests, foreign, err := resource.ReadForeign(name, data, kindBlock, kindAffinity, kindHandle, kindConfig, kindCluster)
	c.refuse(name, err)
	for _, f := range foreign {
		c.foreign(f, false)
	}
	for _, m := range manifests {
		c.add(m.Source, m.Message)
	}
}

// refuse adds what a reader of manifests found, each with its document.
func (c *conversion) refuse(name string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			c.refuse(name, one)
		}
		return
	}
	if bad := (*resource.Invalid)(nil); errors.As(err, &bad) {
		source := bad.Source
		if source == "" {
			source = name
		}
		c.problems.Add(source, &resource.Invalid{Problems: bad.Problems})
		return
	}
	c.problems.Add(name, err)
}

// errNeeded is a field that must be there.
var errNeeded = errors.New("is needed")

// unsupported is a problem of what is well formed and not built.
func unsupported(reason string) error {
	return &resource.Invalid{Problems: []resource.Problem{{Reason: reason, Unsupported: true}}}
}

// crd is how Calico stores its address management in Kubernetes.
type crd[V any] struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   json.RawMessage `json:"metadata"`
	Spec       *V              `json:"spec"`
}

// spec reads an object of Kubernetes.
func spec[V any](c *conversion, f resource.Foreign) *V {
	var o crd[V]
	if err := strict(f.JSON, &o); err != nil {
		c.problems.Add(f.Source, err)
		return nil
	}
	if o.Spec == nil {
		c.problems.Add(f.Source+": spec", errNeeded)
	}
	return o.Spec
}

// foreign takes an object of address management, or the ClusterInformation, of
// which the identity is taken and nothing else. Raw: it was not read as a
// manifest before.
func (c *conversion) foreign(f resource.Foreign, raw bool) {
	if raw {
		text, err := resource.ReadForeignJSON(f.Source, f.JSON)
		if err != nil {
			c.refuse(f.Source, err)
			return
		}
		f.JSON = text
	}
	switch f.Kind {
	case kindBlock:
		if b := spec[rawBlock](c, f); b != nil {
			c.block(f.Source+": spec", b, "")
		}
	case kindAffinity:
		if a := spec[rawAffinity](c, f); a != nil {
			c.affinity(f.Source+": spec", a)
		}
	case kindHandle:
		if h := spec[rawHandle](c, f); h != nil {
			c.handle(f.Source+": spec", h)
		}
	case kindConfig:
		if s := spec[rawConfig](c, f); s != nil {
			c.config(f.Source+": spec", s)
		}
	case kindCluster:
		c.cluster(f)
	}
}

func (c *conversion) cluster(f resource.Foreign) {
	var info struct {
		Spec struct {
			ClusterGUID    string `json:"clusterGUID"`
			DatastoreReady *bool  `json:"datastoreReady"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(f.JSON, &info); err != nil {
		c.problems.Add(f.Source, jsonError(err))
		return
	}
	if c.guid != "" && c.guid != info.Spec.ClusterGUID {
		c.problems.Add(f.Source, fmt.Errorf("it is of cluster %s, another file of %s", info.Spec.ClusterGUID, c.guid))
	}
	c.guid = info.Spec.ClusterGUID
	locked := info.Spec.DatastoreReady != nil && !*info.Spec.DatastoreReady
	c.locked = locked && (c.clusters == 0 || c.locked)
	c.clusters++
}

// strict reads a value, with no field that is not known.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return jsonError(d.Decode(into))
}

// jsonError makes of what a decoder of JSON says a problem with its path.
func jsonError(err error) error {
	p := resource.Problem{}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		p.Path, p.Reason = wrong.Field, "it cannot be "+wrong.Value
	} else if err != nil {
		p.Reason = strings.TrimPrefix(err.Error(), "json: ")
	} else {
		return nil
	}
	return &resource.Invalid{Problems: []resource.Problem{p}}
}
