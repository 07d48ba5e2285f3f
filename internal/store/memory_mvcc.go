package store

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// mvcc is the history of all keys since the last compaction. Its owner holds a
// mutex.
type mvcc struct {
	revision  int64 // of the last write; an empty store is at 1, as in etcd
	compacted int64 // reads below it fail
	versions  map[string][]Event
	keys      []string // sorted; also of keys that are gone but in history
	unsorted  bool
	log       []Event // every change after compacted, oldest first
}

func newMVCC() mvcc { return mvcc{revision: 1, versions: make(map[string][]Event)} }

func (s *mvcc) clone() mvcc {
	c := *s
	c.keys, c.log = slices.Clone(s.keys), slices.Clone(s.log)
	c.versions = make(map[string][]Event, len(s.versions))
	for key, vs := range s.versions {
		c.versions[key] = slices.Clone(vs)
	}
	return c
}

// get returns the newest version of a key.
func (s *mvcc) get(key string) (KV, bool) { return s.at(key, s.revision) }

// at returns the version of a key at a revision that is not compacted.
func (s *mvcc) at(key string, revision int64) (KV, bool) {
	vs := s.versions[key]
	for i := len(vs) - 1; i >= 0; i-- {
		if vs[i].KV.ModRevision <= revision {
			return vs[i].live()
		}
	}
	return KV{}, false
}

func (e Event) live() (KV, bool) {
	if e.Type == Delete {
		return KV{}, false
	}
	return e.KV, true
}

// compare tells whether a compare holds, and what it was compared with.
func (s *mvcc) compare(c Compare) (have KV, holds bool) {
	if !c.Below {
		have, _ = s.get(c.Key)
		return have, have.ModRevision == c.ModRevision
	}
	page, _ := s.list(c.Key, ListOptions{}) // the newest revision there always is
	for _, kv := range page.KVs {
		if kv.CreateRevision > c.ModRevision {
			return kv, false
		}
	}
	return KV{}, true
}

// write performs ops at the next revision, unless they change nothing, and
// returns what they changed.
func (s *mvcc) write(ops []Op) []Event {
	next := s.revision + 1
	var events []Event
	for _, op := range ops {
		was, exists := s.get(op.Key)
		switch {
		case !op.Delete:
			kv := KV{Key: op.Key, Value: slices.Clone(op.Value), CreateRevision: next, ModRevision: next}
			if exists {
				kv.CreateRevision = was.CreateRevision
			}
			events = append(events, Event{Type: Put, KV: kv})
		case exists:
			events = append(events, Event{Type: Delete, KV: KV{Key: op.Key, ModRevision: next}})
		}
	}
	if len(events) == 0 {
		return nil
	}
	s.revision = next
	for _, e := range events {
		if s.versions[e.KV.Key] == nil {
			s.keys, s.unsorted = append(s.keys, e.KV.Key), true
		}
		s.versions[e.KV.Key] = append(s.versions[e.KV.Key], e)
	}
	s.log = append(s.log, events...)
	if len(s.log) > memoryHistory {
		s.compact(s.log[len(s.log)/2].KV.ModRevision)
	}
	return events
}

func (s *mvcc) list(prefix string, opts ListOptions) (Page, error) {
	at := opts.Revision
	switch {
	case at == 0:
		at = s.revision
	case at < s.compacted:
		return Page{}, fmt.Errorf("revision %d: %w", at, ErrCompacted)
	case at > s.revision:
		return Page{}, fmt.Errorf("revision %d is ahead of the store's %d: %w", at, s.revision, ErrForeign)
	}
	if s.unsorted {
		slices.Sort(s.keys)
		s.unsorted = false
	}
	page := Page{Revision: at}
	for i := sort.SearchStrings(s.keys, max(prefix, opts.Start)); i < len(s.keys); i++ {
		if !strings.HasPrefix(s.keys[i], prefix) {
			break
		}
		kv, ok := s.at(s.keys[i], at)
		if !ok {
			continue
		}
		if opts.Limit > 0 && len(page.KVs) == opts.Limit {
			page.Next = kv.Key
			break
		}
		page.KVs = append(page.KVs, kv)
	}
	return page, nil
}

// since returns the changes after a revision below some prefixes.
func (s *mvcc) since(revision int64, prefixes []string) []Event {
	i := sort.Search(len(s.log), func(i int) bool { return s.log[i].KV.ModRevision > revision })
	return below(s.log[i:], prefixes)
}

// compact forgets what only reads below a revision need.
func (s *mvcc) compact(revision int64) {
	s.compacted = revision
	i := sort.Search(len(s.log), func(i int) bool { return s.log[i].KV.ModRevision > revision })
	s.log = slices.Clone(s.log[i:])
	s.keys = slices.DeleteFunc(s.keys, func(key string) bool {
		vs := s.versions[key]
		n := sort.Search(len(vs), func(i int) bool { return vs[i].KV.ModRevision > revision })
		if n > 0 && vs[n-1].Type == Put {
			n-- // still visible at the revision
		}
		if n == len(vs) {
			delete(s.versions, key)
			return true
		}
		s.versions[key] = vs[n:]
		return false
	})
}

func below(events []Event, prefixes []string) []Event {
	var in []Event
	for _, e := range events {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(e.KV.Key, p) }) {
			in = append(in, e)
		}
	}
	return in
}
