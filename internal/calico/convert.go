package calico

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/backup"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// File is one that calicoctl or kubectl wrote.
type File struct {
	Name string // for messages
	Data []byte
}

// Taken is what was made of files.
type Taken struct {
	File      *backup.File
	Objects   int // endpoints among them
	Endpoints int
	Blocks    int
	Addresses int // that are held in blocks
	External  int // of these, by no endpoint
	Warnings  []string
}

// conversion is a conversion under way.
type conversion struct {
	problems backup.Problems
	warnings []string
	notes    []note

	objects map[string]*object // by key
	// What the files say of address management; the blocks decide.
	blocks     map[netip.Prefix]*block
	affinities map[affinityID]affinity
	handles    map[string]handle
	counted    map[string]map[netip.Prefix]int // what the blocks say that handles count
	guid       string
	clusters   int  // times that the files have the ClusterInformation
	locked     bool // each of them says so: nothing was given out after the export

	floor uint64                     // no sequence number is above it
	owned map[netip.Addr]*object     // endpoints by address
	made  map[string]*madeHandle     // by id
	from  map[string]string          // where a key comes from, for problems
	kvs   []backup.KV                // what is to be stored
	pools []*resource.IPPool         // in order of their keys
	nodes map[string]map[string]bool // what names a node: "Node", "blocks", "endpoints"
}

// object is a resource of the files.
type object struct {
	source  string
	key     string
	id      resource.ID
	msg     proto.Message
	checked resource.Object
}

// Convert makes an export of files. The error is a *resource.Invalid with every
// problem, by file, document and path.
func Convert(ctx context.Context, files []File) (*Taken, error) {
	c := &conversion{
		objects: make(map[string]*object), blocks: make(map[netip.Prefix]*block), affinities: make(map[affinityID]affinity),
		handles: make(map[string]handle), counted: make(map[string]map[netip.Prefix]int), owned: make(map[netip.Addr]*object),
		made: make(map[string]*madeHandle), from: make(map[string]string), nodes: make(map[string]map[string]bool),
	}
	sum := sha256.New()
	for _, f := range files {
		fmt.Fprintf(sum, "%d %q\n", len(f.Data), f.Name)
		sum.Write(f.Data)
		c.read(f)
	}
	if err := c.problems.Err(); err != nil {
		return nil, err
	}
	t, err := c.take(ctx)
	if err != nil {
		return nil, err
	}
	t.File.Sum = hex.EncodeToString(sum.Sum(nil))
	return t, nil
}

// take makes keys of what was read.
func (c *conversion) take(ctx context.Context) (*Taken, error) {
	t := &Taken{File: &backup.File{Header: backup.Header{ClusterGUID: cmp.Or(c.guid, "of Calico"), Locked: c.locked, Secrets: true}}}
	endpoints := c.settle()
	if len(c.blocks)+len(endpoints) == 0 {
		c.problems.Add("", errors.New("the files have neither blocks of addresses nor endpoints: are they whole? "+
			"Objects alone are written with `vrouterctl apply -f`"))
	}
	c.ownAddresses(endpoints)
	c.encodeObjects()
	c.encodeBlocks(t)
	c.encodeHandles()
	slices.SortFunc(c.kvs, func(a, b backup.KV) int { return strings.Compare(a.Key, b.Key) })
	t.Objects, t.Endpoints, t.Blocks = len(c.objects), len(endpoints), len(c.blocks)
	t.File.KVs, t.File.SequenceFloor = c.kvs, c.floor
	if err := c.problems.Err(); err != nil {
		return nil, err
	}
	if err := c.check(ctx, t.File); err != nil {
		return nil, err
	}
	for _, n := range c.notes {
		c.warn(n.format, n.times, n.first)
	}
	c.warnOfNodes()
	c.warnOfHandles()
	c.warnOfReferences()
	t.Warnings = c.warnings
	return t, nil
}

func (c *conversion) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// note is a warning of something that there may be many of.
type note struct {
	format string // of how many there are, and where the first is
	times  int
	first  string
}

// note counts for the warning of a format: one for all, or nobody would read the
// others.
func (c *conversion) note(format, where string) {
	i := slices.IndexFunc(c.notes, func(n note) bool { return n.format == format })
	if i < 0 {
		i, c.notes = len(c.notes), append(c.notes, note{format: format, first: where})
	}
	c.notes[i].times++
}

// sorted returns the objects in the order of their keys.
func (c *conversion) sorted() []*object {
	out := make([]*object, 0, len(c.objects))
	for _, o := range c.objects {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *object) int { return strings.Compare(a.key, b.key) })
	return out
}

// add takes an object.
func (c *conversion) add(source string, msg proto.Message) {
	resource.Canonicalize(msg)
	checked, err := resource.Check(msg)
	if err != nil {
		c.problems.Add(source, err)
		return
	}
	id := resource.IDOf(msg)
	key := store.ResourceKey(string(id.Kind), id.Namespace, id.Name)
	if resource.IsBuiltIn(id) && c.always(source, id, msg) {
		return
	}
	resource.MetadataOf(msg).ResourceVersion = nil
	if was := c.objects[key]; was == nil {
		c.objects[key] = &object{source, key, id, msg, checked}
	} else if !proto.Equal(was.msg, msg) {
		c.problems.Add(source, fmt.Errorf("%s is in %s, too, and says something else there", id, was.source))
	}
}

// always tells whether an object is as it always is, so that there is nothing to
// write. A profile of that kind can be no other.
func (c *conversion) always(source string, id resource.ID, msg proto.Message) bool {
	for _, is := range resource.BuiltIn(id.Kind) {
		if resource.IDOf(is) != id {
			continue
		}
		if proto.Equal(resource.SpecOf(is), resource.SpecOf(msg)) {
			meta := resource.MetadataOf(msg)
			return id.Kind == resource.KindProfile || len(meta.GetLabels())+len(meta.GetAnnotations()) == 0
		}
		if id.Kind == resource.KindProfile {
			c.problems.Add(source, fmt.Errorf("%s is always there and allows everything: it cannot say something else", id))
			return true
		}
	}
	return false
}

// encodeObjects makes keys of the objects.
func (c *conversion) encodeObjects() {
	for _, o := range c.sorted() {
		value, err := resource.Encode(resource.Successor(o.msg, nil))
		if err != nil {
			c.problems.Add(o.source, err)
			continue
		}
		c.put(o.source, o.key, value)
	}
}

func (c *conversion) put(source, key string, value []byte) {
	c.from[key] = source
	c.kvs = append(c.kvs, backup.KV{Key: key, Value: value})
}
