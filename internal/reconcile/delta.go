package reconcile

import "iter"

// Delta holds what is wanted and what was observed under each key, and a queue
// of the keys where the two differ. It has no lock: its owner guards it.
type Delta[K comparable, V any] struct {
	// Moved, when set, is told of every change of what is observed under a
	// key; a value that is absent comes as the zero V and false. It must not
	// call the Delta.
	Moved func(key K, old V, was bool, now V, is bool)

	equal func(a, b V) bool
	items map[K]*item[V]
	queue []queued[K, V]
	taken []queued[K, V] // by the last Pending
	round uint32         // number of the read-back under way, or of the last
	news  map[K]struct{} // keys observed otherwise during a read-back; nil when there is none
}

type item[V any] struct {
	wanted, observed V
	round            uint32 // read-back that saw the key last
	flags            flags
}

// queued is a key that came to differ, with its item so that no lookup is
// needed; an item that was forgotten since has no flags.
type queued[K comparable, V any] struct {
	key  K
	item *item[V]
}

type flags uint8

const (
	isWanted   flags = 1 << iota
	isObserved       // observed holds a value
	isQueued         // the key is in the queue
	isTaken          // handed out by Pending, its fate not yet known
)

// Change is one key that differs.
type Change[K comparable, V any] struct {
	Key         K
	Wanted      V    // what is to be written
	IsWanted    bool // false: the key is to be removed
	Observed    V    // what is there as far as is known
	WasObserved bool

	item *item[V]
}

// NewDelta returns an empty Delta; equal says when what is observed is as good
// as what is wanted.
func NewDelta[K comparable, V any](equal func(wanted, observed V) bool) *Delta[K, V] {
	return &Delta[K, V]{equal: equal, items: make(map[K]*item[V])}
}

// Want says that key should be value. It returns what was wanted before, the
// zero V for nothing.
func (d *Delta[K, V]) Want(key K, value V) (before V) {
	it := d.item(key)
	before, it.wanted = it.wanted, value
	it.flags |= isWanted
	d.settle(key, it)
	return before
}

// Unwant says that key should not be there. It returns what was wanted before.
func (d *Delta[K, V]) Unwant(key K) (before V) {
	it := d.items[key]
	if it == nil {
		return before
	}
	var none V
	before, it.wanted = it.wanted, none
	it.flags &^= isWanted
	d.settle(key, it)
	return before
}

// Observe says that key was found to be value: news from outside.
func (d *Delta[K, V]) Observe(key K, value V) {
	if d.news != nil {
		d.news[key] = struct{}{}
	}
	it := d.item(key)
	it.flags &^= isTaken
	it.round = d.round
	d.observe(key, it, value, true)
}

// Unobserve says that key was found to be absent: news from outside.
func (d *Delta[K, V]) Unobserve(key K) {
	if d.news != nil {
		d.news[key] = struct{}{}
	}
	it := d.items[key]
	if it == nil {
		return
	}
	var none V
	it.flags &^= isTaken
	d.observe(key, it, none, false)
}

// Pending takes up to n keys that differ from the queue, in the order in which
// they came to differ. Each is to be answered with [Delta.Applied] when it was
// written, before the next call; a key that is not answered by then stays
// different, and comes again after news about it, after [Delta.Requeue] and after
// a read-back.
func (d *Delta[K, V]) Pending(n int) []Change[K, V] {
	d.release()
	out := make([]Change[K, V], 0, min(n, len(d.queue)))
	taken := 0
	for _, q := range d.queue {
		if len(out) == n {
			break
		}
		taken++
		it := q.item
		if it.flags&isQueued == 0 {
			continue
		}
		it.flags &^= isQueued
		if !d.differs(it) {
			continue
		}
		it.flags |= isTaken
		d.taken = append(d.taken, q)
		out = append(out, Change[K, V]{
			Key: q.key, Wanted: it.wanted, IsWanted: it.flags&isWanted != 0,
			Observed: it.observed, WasObserved: it.flags&isObserved != 0, item: it,
		})
	}
	if d.queue = d.queue[taken:]; len(d.queue) == 0 {
		d.queue = nil // lets go of what a large queue took
	}
	return out
}

// release ends what the last Pending handed out.
func (d *Delta[K, V]) release() {
	for _, q := range d.taken {
		q.item.flags &^= isTaken
		if d.items[q.key] == q.item {
			d.forget(q.key, q.item)
		}
	}
	d.taken = nil
}

// Applied says that c was written. It reports false when news about the key
// came after Pending had handed it out: then nobody knows which came last, what
// is observed stays as the news told it, and the owner should read back.
func (d *Delta[K, V]) Applied(c Change[K, V]) bool {
	it := c.item
	if it.flags&isTaken == 0 {
		return false
	}
	it.flags &^= isTaken
	it.round = d.round
	d.observe(c.Key, it, c.Wanted, c.IsWanted)
	return true
}

// Requeue makes Pending hand out key again if it differs.
func (d *Delta[K, V]) Requeue(key K) {
	if it := d.items[key]; it != nil {
		d.settle(key, it)
	}
}

// BeginRead starts a read-back: [Delta.Seen] follows for each key found, then
// [Delta.EndRead].
func (d *Delta[K, V]) BeginRead() {
	d.round++
	d.news = make(map[K]struct{})
}

// Seen says that the read-back found key to be value. News that came since
// BeginRead is younger than what a read-back tells, so it stands.
func (d *Delta[K, V]) Seen(key K, value V) {
	if _, ok := d.news[key]; ok {
		return
	}
	it := d.item(key)
	it.round = d.round
	d.observe(key, it, value, true)
}

// EndRead ends a read-back. Keys that were not seen are absent, and every key
// that differs is queued again. When the read-back was cut short (complete is
// false) nothing is concluded from what was not seen.
func (d *Delta[K, V]) EndRead(complete bool) {
	news := d.news
	d.news = nil
	for key, it := range d.items {
		if _, ok := news[key]; !ok && complete && it.round != d.round && it.flags&isObserved != 0 {
			var none V
			d.observe(key, it, none, false)
			continue
		}
		if it.flags&isQueued == 0 && d.differs(it) {
			d.settle(key, it)
		}
	}
}

// Wanted returns what is wanted under key.
func (d *Delta[K, V]) Wanted(key K) (V, bool) {
	it := d.items[key]
	if it == nil {
		var none V
		return none, false
	}
	return it.wanted, it.flags&isWanted != 0
}

// Observed returns what was last observed under key.
func (d *Delta[K, V]) Observed(key K) (V, bool) {
	it := d.items[key]
	if it == nil {
		var none V
		return none, false
	}
	return it.observed, it.flags&isObserved != 0
}

// InSync reports whether key is observed as it is wanted, absence included.
func (d *Delta[K, V]) InSync(key K) bool {
	it := d.items[key]
	return it == nil || !d.differs(it)
}

// All walks the keys that are wanted or observed, in no order. The Delta may
// be changed under way.
func (d *Delta[K, V]) All() iter.Seq[K] {
	return func(yield func(K) bool) {
		for key, it := range d.items {
			if it.flags&(isWanted|isObserved) != 0 && !yield(key) {
				return
			}
		}
	}
}

// Len returns the number of keys that are wanted or observed.
func (d *Delta[K, V]) Len() int { return len(d.items) }

// Queued reports whether Pending may have something to hand out.
func (d *Delta[K, V]) Queued() bool { return len(d.queue) > 0 }

// item returns what is known of key, which may be nothing yet.
func (d *Delta[K, V]) item(key K) *item[V] {
	it := d.items[key]
	if it == nil {
		it = new(item[V])
		d.items[key] = it
	}
	return it
}

func (d *Delta[K, V]) observe(key K, it *item[V], value V, is bool) {
	old, was := it.observed, it.flags&isObserved != 0
	it.observed = value
	if it.flags &^= isObserved; is {
		it.flags |= isObserved
	}
	if d.Moved != nil && (was || is) {
		d.Moved(key, old, was, value, is)
	}
	d.settle(key, it)
}

// forget forgets key when nothing is known of it any more. What is being written
// is not forgotten before its fate is known: it may be there a moment later, and
// who wants it again then must not take it for absent.
func (d *Delta[K, V]) forget(key K, it *item[V]) {
	if it.flags&(isWanted|isObserved|isTaken) == 0 {
		it.flags = 0
		delete(d.items, key)
	}
}

// settle queues key when it differs, and forgets it when nothing is known of it
// any more.
func (d *Delta[K, V]) settle(key K, it *item[V]) {
	if it.flags&(isWanted|isObserved) == 0 {
		d.forget(key, it)
		return
	}
	if it.flags&isQueued == 0 && d.differs(it) {
		it.flags |= isQueued
		d.queue = append(d.queue, queued[K, V]{key, it})
	}
}

func (d *Delta[K, V]) differs(it *item[V]) bool {
	switch it.flags & (isWanted | isObserved) {
	case isWanted | isObserved:
		return !d.equal(it.wanted, it.observed)
	case 0:
		return false
	}
	return true
}
