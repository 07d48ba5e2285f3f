package fib

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/projectvrouter/vrouter/internal/reconcile"
)

// objectRange is how many next-hop ids we take, from Options.ObjectBase on.
const objectRange = 1 << 24

// objectTable turns groups of next hops into next-hop objects: one object per
// distinct next hop, one group of objects per key and family. A group stands
// between objects and routes even when it has one member, because the kernel
// replaces neither a group by an object nor an object by a group. Its fields
// are guarded by Table.mu.
type objectTable struct {
	enabled bool
	base    uint32
	next    uint32
	groups  map[GroupKey]*group
	stale   map[GroupKey]struct{} // to be evaluated again
	delta   *reconcile.Delta[uint32, objectValue]
	members map[memberKey]uint32     // wanted objects
	users   map[uint32]int           // wanted groups that hold an object
	found   map[objectValue][]uint32 // observed objects and groups by content
	refs    map[uint32]int           // routes of ours observed that name an id
	uses    map[uint32]int           // chosen routes that name a group
	owners  map[uint32]owner         // which key and family a wanted group is for
	lost    map[uint32]struct{}      // ids that vanished, and their routes with them
	bad     map[uint32]error         // objects that the kernel refused
	routes  map[GroupKey]int         // wanted routes that name a key
	idle    bool                     // something may have become removable
	clash   bool                     // an id of ours may be a stranger's
}

// group is what SetGroup said of a key, and what has become of it in each
// family that routes have asked for.
type group struct {
	hops    []NextHop
	asked   [numFamilies]bool
	id      [numFamilies]uint32   // 0: nothing usable
	members [numFamilies][]uint32 // objects it holds a use of
	plain   [numFamilies]string   // packed hops, where there are no objects
	problem [numFamilies]error    // why there is nothing usable
}

type owner struct {
	key    GroupKey
	family Family
}

// memberKey identifies an object by what it does.
type memberKey struct {
	family Family
	hop    Hop
}

// objectValue is an Object without its id, made comparable.
type objectValue struct {
	member  memberKey
	members string // of a group: ids and weights
	isGroup bool
	other   bool
}

func newObjectTable(base uint32, enabled bool) objectTable {
	o := objectTable{
		enabled: enabled, base: base, next: base,
		groups:  make(map[GroupKey]*group),
		stale:   make(map[GroupKey]struct{}),
		delta:   reconcile.NewDelta[uint32](func(a, b objectValue) bool { return a == b }),
		members: make(map[memberKey]uint32),
		users:   make(map[uint32]int),
		found:   make(map[objectValue][]uint32),
		refs:    make(map[uint32]int),
		uses:    make(map[uint32]int),
		owners:  make(map[uint32]owner),
		lost:    make(map[uint32]struct{}),
		bad:     make(map[uint32]error),
		routes:  make(map[GroupKey]int),
	}
	found := o.found
	o.delta.Moved = func(id uint32, old objectValue, was bool, now objectValue, is bool) {
		if was {
			ids := slices.DeleteFunc(found[old], func(x uint32) bool { return x == id })
			if found[old] = ids; len(ids) == 0 {
				delete(found, old)
			}
		}
		if is {
			found[now] = append(found[now], id)
		}
	}
	return o
}

// set takes the next hops of key and reports whether they are new.
func (o *objectTable) set(key GroupKey, hops []NextHop) bool {
	g := o.groups[key]
	if g != nil && slices.Equal(g.hops, hops) {
		return false
	}
	if g == nil {
		g = &group{}
		o.groups[key] = g
	}
	g.hops = slices.Clone(hops)
	o.stale[key] = struct{}{}
	return true
}

// unset forgets the next hops of key; evaluate drops the group itself.
func (o *objectTable) unset(key GroupKey) bool {
	g := o.groups[key]
	if g == nil {
		return false
	}
	delete(o.groups, key)
	delete(o.stale, key)
	for f := range g.id {
		o.hold(g, Family(f), nil)
		o.drop(g, Family(f))
	}
	o.stale[key] = struct{}{} // its routes, if any, must hear of it
	o.idle = true
	return true
}

// named notes that one more (or less) wanted route names key.
func (o *objectTable) named(key GroupKey, delta int) {
	if key == "" {
		return
	}
	if o.routes[key] += delta; o.routes[key] == 0 {
		delete(o.routes, key)
	}
}

// staleVia marks the groups that have a next hop on an interface.
func (o *objectTable) staleVia(name string) {
	for key, g := range o.groups {
		if g.over(name) {
			o.stale[key] = struct{}{}
		}
	}
}

// over reports whether there may be objects of ours over an interface.
func (o *objectTable) over(name string) bool {
	if !o.enabled {
		return false
	}
	for _, g := range o.groups {
		if g.over(name) {
			return true
		}
	}
	return false
}

// over reports whether a group has a next hop on an interface.
func (g *group) over(name string) bool {
	return slices.ContainsFunc(g.hops, func(h NextHop) bool { return h.Interface == name })
}

// object returns the id that a route of family to key should name. hint tells
// an id that such a route names already: after a restart a group is recognised
// by its routes.
func (o *objectTable) object(key GroupKey, family Family, out *outside, hint func() uint32) (uint32, error) {
	g := o.ask(key, family, out, hint)
	if g.id[family] == 0 {
		return 0, g.problem[family]
	}
	return g.id[family], nil
}

// plain returns the packed next hops that a route of family to key should have
// where there are no objects.
func (o *objectTable) plain(key GroupKey, family Family, out *outside) (string, error) {
	g := o.ask(key, family, out, nil)
	return g.plain[family], g.problem[family]
}

// ask returns the group of key, evaluated for family. A key that nobody has
// described yet is a group without next hops.
func (o *objectTable) ask(key GroupKey, family Family, out *outside, hint func() uint32) *group {
	g := o.groups[key]
	if g == nil {
		g = &group{}
		o.groups[key] = g
	}
	if !g.asked[family] {
		g.asked[family] = true
		var id uint32
		if hint != nil {
			id = hint()
		}
		o.evaluate(key, g, family, out, id)
	}
	return g
}

// refresh evaluates the stale groups, and returns those whose routes must be
// chosen again.
func (o *objectTable) refresh(out *outside) map[GroupKey]struct{} {
	moved := make(map[GroupKey]struct{})
	if o.clash {
		o.yield(out)
	}
	for _, key := range slices.Sorted(maps.Keys(o.stale)) {
		g := o.groups[key]
		if g == nil {
			if o.routes[key] > 0 {
				moved[key] = struct{}{}
			}
			continue
		}
		for f := range g.asked {
			id, plain := g.id[f], g.plain[f]
			if !g.asked[f] {
				continue
			}
			if o.evaluate(key, g, Family(f), out, 0); id != g.id[f] || plain != g.plain[f] || g.id[f] == 0 {
				moved[key] = struct{}{}
			}
		}
	}
	clear(o.stale)
	return moved
}

// evaluate says what the group g should be in the kernel as things are.
func (o *objectTable) evaluate(key GroupKey, g *group, family Family, out *outside, hint uint32) {
	if !o.enabled {
		hops, err := out.plainHops(g.hops, family)
		g.plain[family], g.problem[family] = packHops(hops), err
		return
	}
	hops, err := out.readyHops(g.hops, family, func(l Link) bool { return l.Carrier })
	var members []Member
	var ids []uint32
	for _, hop := range hops {
		id := o.member(hop, family)
		ids = append(ids, id)
		if bad := o.bad[id]; bad != nil {
			err = bad
			continue
		}
		members = append(members, Member{ID: id, Weight: hop.Weight})
	}
	o.hold(g, family, ids)
	if len(members) == 0 {
		o.drop(g, family)
		g.problem[family] = err
		return
	}
	content := objectValue{isGroup: true, members: packMembers(members)}
	if g.id[family] == 0 {
		g.id[family] = o.claim(content, hint)
		o.owners[g.id[family]] = owner{key, family}
		o.idle = true // until a route names it
	}
	g.problem[family] = nil
	o.delta.Want(g.id[family], content)
}

// drop gives up the kernel's group for g in family.
func (o *objectTable) drop(g *group, family Family) {
	if id := g.id[family]; id != 0 {
		o.delta.Unwant(id)
		delete(o.owners, id)
		g.id[family] = 0
		o.idle = true
	}
}

// use notes that one more (or less) chosen route names a group.
func (o *objectTable) use(id uint32, delta int) {
	if id == 0 {
		return
	}
	if o.uses[id] += delta; o.uses[id] == 0 {
		delete(o.uses, id)
		o.idle = true
	}
}

// dropUnused gives up groups that no route names, chosen or in the kernel.
func (o *objectTable) dropUnused() {
	for id, owner := range o.owners {
		if g := o.groups[owner.key]; o.uses[id] == 0 && o.refs[id] == 0 && g != nil {
			o.drop(g, owner.family)
			o.hold(g, owner.family, nil)
			g.asked[owner.family] = false
		}
	}
}

// member returns the id of the object for hop, and wants it.
func (o *objectTable) member(hop Hop, family Family) uint32 {
	hop.Weight = 0
	if hop.Gateway.IsValid() {
		family = FamilyOf(hop.Gateway)
	}
	key := memberKey{family: family, hop: hop}
	id, ok := o.members[key]
	if !ok {
		id = o.claim(objectValue{member: key}, 0)
		o.members[key] = id
		o.delta.Want(id, objectValue{member: key})
	}
	return id
}

// claim returns an id for content: one that the kernel has already and that
// nobody here uses, preferably hint, or else a new one.
func (o *objectTable) claim(content objectValue, hint uint32) uint32 {
	free := func(id uint32) bool { _, used := o.delta.Wanted(id); return !used }
	if got, ok := o.delta.Observed(hint); ok && got == content && free(hint) {
		return hint
	}
	for _, id := range o.found[content] {
		if free(id) {
			return id
		}
	}
	for {
		id := o.next
		if o.next++; o.next-o.base >= objectRange {
			o.next = o.base
		}
		_, observed := o.delta.Observed(id)
		if !observed && free(id) {
			return id
		}
	}
}

// hold notes that g now uses these objects in family; objects that nobody uses
// are no longer wanted.
func (o *objectTable) hold(g *group, family Family, ids []uint32) {
	for _, id := range ids {
		o.users[id]++
	}
	for _, id := range g.members[family] {
		if o.users[id]--; o.users[id] > 0 {
			continue
		}
		delete(o.users, id)
		delete(o.bad, id)
		if v, ok := o.delta.Wanted(id); ok {
			delete(o.members, v.member)
			o.delta.Unwant(id)
		}
		o.idle = true
	}
	g.members[family] = ids
}

// yield gives up wanted ids that turned out to be somebody else's, or ours but
// of the other sort, which the kernel does not replace; new ones follow.
func (o *objectTable) yield(out *outside) {
	o.clash = false
	for id := range o.delta.All() {
		want, ok := o.delta.Wanted(id)
		if !ok {
			continue
		}
		have, observed := o.delta.Observed(id)
		_, taken := out.objects[id]
		if !taken && (!observed || have.isGroup == want.isGroup && !have.other) {
			continue
		}
		if owner, ok := o.owners[id]; ok {
			o.drop(o.groups[owner.key], owner.family)
			o.stale[owner.key] = struct{}{}
			continue
		}
		delete(o.members, want.member)
		o.delta.Unwant(id)
		o.refuse(id, nil) // its groups take another
		delete(o.bad, id)
		o.idle = true
	}
}

// busy reports whether Sync has something to do for objects.
func (o *objectTable) busy() bool {
	return len(o.stale) > 0 || len(o.lost) > 0 || o.idle || o.clash || o.delta.Queued()
}

func (v objectValue) object(id uint32, protocol uint8) *Object {
	o := &Object{ID: id, Protocol: protocol, IsGroup: v.isGroup, Family: v.member.family, Hop: v.member.hop}
	if v.isGroup {
		o.Group = unpackMembers(v.members)
	}
	return o
}

func objectValueOf(o Object) objectValue {
	v := objectValue{isGroup: o.IsGroup, other: o.Other}
	if o.IsGroup {
		v.members = packMembers(o.Group)
	} else {
		v.member = memberKey{family: o.Family, hop: o.Hop}
	}
	return v
}

func packMembers(members []Member) string {
	members = slices.SortedFunc(slices.Values(members), func(a, b Member) int {
		return int(int64(a.ID) - int64(b.ID))
	})
	b := make([]byte, 0, 5*len(members))
	for _, m := range members {
		b = append(binary.BigEndian.AppendUint32(b, m.ID), m.Weight)
	}
	return string(b)
}

func unpackMembers(s string) []Member {
	var members []Member
	for ; s != ""; s = s[5:] {
		members = append(members, Member{ID: binary.BigEndian.Uint32([]byte(s[:4])), Weight: s[4]})
	}
	return members
}
