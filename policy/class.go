package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
)

// class is all items with the same labels from the same places. It is made when
// the first item comes and dropped with the last; one whose inherited labels
// change gives way to another.
type class struct {
	id      classID
	parents []*parent // whose labels it inherits, the first wins
	labels  []*label  // first own ones, which win over all others
	own     int       // how many these are
	places  []int32   // in the rolls of labels, then of parents
	matched []*selection
	items   []*item

	pipelines *pipelines // of local endpoints: nil before they are resolved
}

// classID is a digest of own labels and parents.
type classID [16]byte

// roll lists classes.
type roll struct{ classes []*class }

// parent is a namespace, a service account or a profile, there or not.
type parent struct {
	roll
	id       resource.ID
	labels   map[string]string // as they are inherited
	isStored bool
}

// inherited returns what is inherited from a parent of which only the name is known.
func inherited(id resource.ID) map[string]string {
	switch id.Kind {
	case resource.KindNamespace:
		return resource.NamespaceLabels(id.Name, nil)
	case resource.KindServiceAccount:
		return resource.ServiceAccountLabels(id.Name, nil)
	}
	return nil
}

// Get implements selector.Labels. Labels are few.
func (c *class) Get(key string) (string, bool) {
	for _, l := range c.labels {
		if l.key.name == key {
			return l.value, true
		}
	}
	return "", false
}

func (c *class) find(s *selection) (int, bool) {
	return slices.BinarySearchFunc(c.matched, s, compareSelections)
}

// has tells whether a selection matches the class.
func (c *class) has(s *selection) bool {
	_, ok := c.find(s)
	return ok
}

// meetsAny tells whether the class meets one of some needs.
func (c *class) meetsAny(needs []selector.Need) bool {
	return slices.ContainsFunc(needs, func(n selector.Need) bool {
		value, ok := c.Get(n.Label)
		return ok && (n.Values == nil || slices.Contains(n.Values, value))
	})
}

// put makes an item one of the class of these labels and parents.
func (x *index) put(it *item, own map[string]string, parents []resource.ID) {
	x.move(it, x.class(own, parents))
}

// move makes an item one of a class, or with nil of none.
func (x *index) move(it *item, to *class) {
	from := it.class
	if from == to {
		return
	}
	if from != nil {
		last := len(from.items) - 1
		from.items[it.place] = from.items[last]
		from.items[it.place].place = it.place
		from.items[last] = nil
		from.items = from.items[:last]
	}
	if it.class = to; to != nil {
		it.place = int32(len(to.items))
		to.items = append(to.items, it)
	}
	x.moved(it, from, to)
	if from != nil && len(from.items) == 0 {
		x.drop(from)
	}
}

// class returns that of these labels and parents, made if there is none.
func (x *index) class(own map[string]string, parents []resource.ID) *class {
	keys := x.own[:0]
	for key := range own {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	x.own = keys
	id := x.identify(keys, own, parents)
	if c := x.classes[id]; c != nil {
		return c
	}
	const inherited = 4 // or so
	c := &class{
		id: id, own: len(own), labels: make([]*label, 0, len(own)+inherited), parents: make([]*parent, 0, len(parents)),
	}
	for _, key := range keys {
		c.labels = append(c.labels, x.key(key).label(own[key]))
	}
	for _, p := range parents {
		c.parents = append(c.parents, x.parent(p))
	}
	x.enter(c)
	return c
}

func (x *index) identify(keys []string, own map[string]string, parents []resource.ID) classID {
	text := binary.AppendUvarint(x.text[:0], uint64(len(keys)))
	for _, key := range keys {
		text = appendText(text, key)
		text = appendText(text, own[key])
	}
	for _, p := range parents {
		text = appendText(text, string(p.Kind))
		text = appendText(text, p.Namespace)
		text = appendText(text, p.Name)
	}
	x.text = text
	sum := sha256.Sum256(text)
	return classID(sum[:len(classID{})])
}

// appendText writes a text so that what follows cannot be taken for a part of
// it.
func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

func (x *index) parent(id resource.ID) *parent {
	p := x.parents[id]
	if p == nil {
		p = &parent{id: id, labels: inherited(id)}
		x.parents[id] = p
	}
	return p
}

// enter adds what a class that has own labels and parents inherits, and works
// out what matches it.
func (x *index) enter(c *class) {
	x.classes[c.id] = c
	for _, p := range c.parents {
		for key, value := range p.labels {
			if _, ok := c.Get(key); !ok {
				c.labels = append(c.labels, x.key(key).label(value))
			}
		}
	}
	c.labels = slices.Clip(c.labels)
	c.places = make([]int32, 0, len(c.labels)+len(c.parents))
	for i := range cap(c.places) {
		r := c.roll(i)
		c.places = append(c.places, int32(len(r.classes)))
		r.classes = append(r.classes, c)
	}
	for _, l := range c.labels {
		l.key.count++
	}
	x.match(c)
}

// roll returns the i-th roll that the class is in.
func (c *class) roll(i int) *roll {
	if i < len(c.labels) {
		return &c.labels[i].roll
	}
	return &c.parents[i-len(c.labels)].roll
}

// drop forgets a class without items.
func (x *index) drop(c *class) {
	if x.classes[c.id] == c {
		delete(x.classes, c.id)
	}
	for i := range c.places {
		c.roll(i).remove(c.places[i])
	}
	for _, l := range c.labels {
		l.key.count--
		x.forgetLabel(l)
	}
	for _, p := range c.parents {
		x.forgetParent(p)
	}
}

// remove takes out the class at a place and puts the last one there.
func (r *roll) remove(place int32) {
	last := len(r.classes) - 1
	moved := r.classes[last]
	r.classes[place] = moved
	for i := range moved.places {
		if moved.roll(i) == r {
			moved.places[i] = place
		}
	}
	r.classes[last] = nil
	r.classes = r.classes[:last]
}

func (x *index) forgetParent(p *parent) {
	if len(p.classes) == 0 && !p.isStored {
		delete(x.parents, p.id)
	}
}

// setParent says which labels are inherited from a parent; nil: it is not
// stored. The classes that inherit them give way to others, item by item.
func (x *index) setParent(id resource.ID, labels map[string]string) {
	p := x.parent(id)
	if p.isStored = labels != nil; !p.isStored {
		labels = inherited(id)
	}
	if maps.Equal(p.labels, labels) {
		x.forgetParent(p)
		return
	}
	p.labels = labels
	for _, old := range slices.Clone(p.classes) {
		c := &class{id: old.id, own: old.own, labels: slices.Clone(old.labels[:old.own]), parents: old.parents}
		x.enter(c)
		for len(old.items) > 1 {
			x.move(old.items[len(old.items)-1], c)
		}
		x.move(old.items[0], c) // drops the old one
	}
	x.forgetParent(p)
}
