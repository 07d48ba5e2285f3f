package engine

import (
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// toldPath is a path as Drain gave it.
type toldPath struct {
	serial uint64 // of the source
	set    setID
	id     uint32
	drop   bool
}

// drain is what Speaker.Drain is to tell.
func (r *rib) drain() []bgp.PathSet {
	var sets []bgp.PathSet
	for _, i := range r.news {
		rec := r.routes.records.at(i)
		if rec.marks&markNews == 0 {
			continue
		}
		rec.marks &^= markNews
		best := r.best(i)
		told := r.told[i]
		now := make([]toldPath, 0, len(best))
		for _, at := range best {
			p := r.paths.records.at(at)
			now = append(now, toldPath{r.sources[p.peer].serial, p.set, p.id, p.flags&discard != 0})
		}
		if slices.Equal(told, now) {
			continue
		}
		set := bgp.PathSet{Prefix: rec.key.prefix()}
		for _, at := range best {
			p := r.paths.records.at(at)
			r.sets.retain(p.set)
			set.Paths = append(set.Paths, r.path(set.Prefix, p))
		}
		for _, t := range told {
			r.sets.release(t.set)
		}
		if r.told[i] = now; len(now) == 0 {
			delete(r.told, i)
		}
		sets = append(sets, set)
	}
	r.news = r.news[:0]
	r.free()
	slices.SortFunc(sets, func(a, b bgp.PathSet) int { return bgp.ComparePrefix(a.Prefix, b.Prefix) })
	return sets
}

// compactNews drops from news what is in it twice or was freed, which adds up
// where nobody drains.
func (r *rib) compactNews() {
	r.news = r.news[:0]
	for i := range routeID(r.routes.records.len()) {
		if r.routes.records.at(i).marks&markNews != 0 {
			r.news = append(r.news, i)
		}
	}
}
