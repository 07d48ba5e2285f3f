package storetest

import (
	"errors"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/store"
)

// mirror is a consumer of a watch: it keeps the state as told, and counts.
type mirror struct {
	f     *fixture
	watch store.Watch

	state    map[string]string // key → value
	told     map[string]int    // key → events
	revision int64
	synced   bool
	batches  int
}

func (f *fixture) mirror(c Client, opts store.WatchOptions) *mirror {
	w := c.Watch(f.Context(), opts)
	f.Cleanup(w.Close)
	return &mirror{f: f, watch: w, state: make(map[string]string), told: make(map[string]int)}
}

// step takes one batch.
func (m *mirror) step() error {
	b, err := m.watch.Next(m.f.ctx)
	if err != nil {
		return err
	}
	m.batches++
	seen := make(map[string]bool)
	for _, e := range b.Events {
		if seen[e.KV.Key] {
			m.f.Fatalf("%s twice in a batch", e.KV.Key)
		}
		seen[e.KV.Key] = true
		m.told[e.KV.Key]++
		if e.Type == store.Delete {
			delete(m.state, e.KV.Key)
		} else {
			m.state[e.KV.Key] = string(e.KV.Value)
		}
	}
	if b.Revision < m.revision {
		m.f.Fatalf("revision went from %d to %d", m.revision, b.Revision)
	}
	m.revision, m.synced = b.Revision, b.Synced
	return nil
}

// until takes batches until the watch is in sync and has told revision.
func (m *mirror) until(revision int64) {
	m.f.Helper()
	for !m.synced || m.revision < revision {
		if err := m.step(); err != nil {
			m.f.Fatalf("waiting for revision %d at %d: %v", revision, m.revision, err)
		}
	}
}

// untilTold takes batches until a key has been told, or told as gone.
func (m *mirror) untilTold(key string, there bool) {
	m.f.Helper()
	for {
		if _, ok := m.state[key]; ok == there && m.told[key] > 0 {
			return
		}
		if err := m.step(); err != nil {
			m.f.Fatalf("waiting for %s: %v", key, err)
		}
	}
}

// untilError takes batches until the watch fails, and returns why.
func (m *mirror) untilError(kind error) {
	m.f.Helper()
	for {
		err := m.step()
		if err == nil {
			continue
		}
		if !errors.Is(err, kind) {
			m.f.Fatalf("watch ended with %v, wanted %v", err, kind)
		}
		return
	}
}

// want compares the state with keys whose values are their names.
func (m *mirror) want(keys ...string) {
	m.f.Helper()
	want := make(map[string]string, len(keys))
	for _, key := range keys {
		want[key] = key
	}
	if diff := cmp.Diff(want, m.state); diff != "" {
		m.f.Fatalf("state (-want +got):\n%s", diff)
	}
}

// count returns how many events have been told in all.
func (m *mirror) count() int {
	n := 0
	for _, k := range m.told {
		n += k
	}
	return n
}
