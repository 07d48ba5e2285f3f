package store

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	copied := Copy{GUID: "a", Epoch: 2, Revision: 100}
	for _, c := range []struct {
		name     string
		cluster  Cluster
		missing  bool
		revision int64
		want     VerdictKind
		reason   string // part of it
	}{
		{name: "unchanged", cluster: Cluster{GUID: "a", Epoch: 2}, revision: 100, want: Same},
		{name: "went on", cluster: Cluster{GUID: "a", Epoch: 2}, revision: 101, want: Same},
		{name: "went on and adopted another", cluster: Cluster{GUID: "a", Epoch: 3, Adopted: []string{"z"}}, revision: 101, want: Same},
		{name: "empty", missing: true, revision: 1, want: Foreign, reason: "no cluster identity"},
		{name: "empty and busy", missing: true, revision: 1000, want: Foreign, reason: "no cluster identity"},
		{name: "another", cluster: Cluster{GUID: "b", Epoch: 9}, revision: 1000, want: Foreign, reason: "cluster b"},
		{name: "another that adopted", cluster: Cluster{GUID: "b", Epoch: 3, Adopted: []string{"z", "a"}}, revision: 5, want: Adopted},
		{name: "another that adopted before", cluster: Cluster{GUID: "b", Epoch: 2, Adopted: []string{"a"}}, revision: 1000, want: Foreign, reason: "cluster b"},
		{name: "another that adopted others", cluster: Cluster{GUID: "b", Epoch: 3, Adopted: []string{"z"}}, revision: 1000, want: Foreign, reason: "cluster b"},
		{name: "backup", cluster: Cluster{GUID: "a", Epoch: 2}, revision: 99, want: Foreign, reason: "revision 99"},
		{name: "backup, adopted", cluster: Cluster{GUID: "a", Epoch: 3, Adopted: []string{"a"}}, revision: 99, want: Adopted},
		{name: "backup, adopted another", cluster: Cluster{GUID: "a", Epoch: 3, Adopted: []string{"z"}}, revision: 99, want: Foreign, reason: "revision 99"},
		{name: "backup of an earlier epoch", cluster: Cluster{GUID: "a", Epoch: 1}, revision: 1000, want: Foreign, reason: "epoch 1"},
	} {
		v := Judge(copied, c.cluster, !c.missing, c.revision)
		if v.Kind != c.want || !strings.Contains(v.Reason, c.reason) || (v.Reason == "") != (v.Kind != Foreign) {
			t.Errorf("%s: %s (%s), wanted %s (%s)", c.name, v.Kind, v.Reason, c.want, c.reason)
		}
	}
	copied.Revision = Overtaken
	if v := Judge(copied, Cluster{GUID: "a", Epoch: 2}, true, 1000); v.Kind != Foreign || !strings.Contains(v.Reason, "may have grown") {
		t.Errorf("backup that has grown: %s (%s)", v.Kind, v.Reason)
	}
	if v := Judge(copied, Cluster{GUID: "a", Epoch: 3, Adopted: []string{"a"}}, true, 1000); v.Kind != Adopted {
		t.Errorf("backup that has grown, adopted: %s (%s)", v.Kind, v.Reason)
	}
}

// TestAdopt walks through the ways to lose a store, each ended by the operator.
func TestAdopt(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*testing.T, *Memory, *Backup)
	}{
		{"wiped", func(_ *testing.T, m *Memory, _ *Backup) { m.Wipe() }},
		{"restored", func(_ *testing.T, m *Memory, b *Backup) { m.Restore(b) }},
		{"swapped", func(t *testing.T, m *Memory, _ *Backup) {
			m.Wipe()
			if _, _, err := EnsureIdentity(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMemory()
			first, _, err := EnsureIdentity(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			backup := m.Backup()
			if _, _, err := Adopt(t.Context(), m, Copy{GUID: "z", Epoch: 6}); err != nil {
				t.Fatal(err)
			}
			now, revision, err := Identity(t.Context(), m)
			if err != nil || now.GUID != first.GUID || now.Epoch != 7 {
				t.Fatalf("%+v, %v", now, err)
			}
			copied := Copy{GUID: now.GUID, Epoch: now.Epoch, Revision: revision}
			if v := judge(t, m, copied); v.Kind != Same {
				t.Fatalf("own store: %+v", v)
			}
			c.lose(t, m, backup)
			if v := judge(t, m, copied); v.Kind != Foreign {
				t.Fatalf("lost store: %+v", v)
			}
			if _, _, err := Adopt(t.Context(), m, copied); err != nil {
				t.Fatal(err)
			}
			if v := judge(t, m, copied); v.Kind != Adopted {
				t.Fatalf("adopted store: %+v", v)
			}
			if v := judge(t, m, Copy{GUID: "stranger", Epoch: 1}); v.Kind != Foreign {
				t.Fatalf("a stranger: %+v", v)
			}
		})
	}
}

func judge(t *testing.T, m *Memory, copied Copy) Verdict {
	t.Helper()
	c, revision, err := Identity(t.Context(), m)
	if err != nil && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	return Judge(copied, c, err == nil, revision)
}

func TestIdentityKeepsUnknownFields(t *testing.T) {
	m := NewMemory()
	value := `{"guid":"a","epoch":4,"schema":2,"colour":{"x":[1]}}`
	if _, err := m.Txn(t.Context(), nil, []Op{{Key: MetaKey, Value: []byte(value)}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Adopt(t.Context(), m, Copy{GUID: "b"}); err != nil {
		t.Fatal(err)
	}
	kv, _, err := m.Get(t.Context(), MetaKey)
	if want := `{"adopted":["b"],"colour":{"x":[1]},"epoch":5,"guid":"a","schema":2}`; err != nil || string(kv.Value) != want {
		t.Fatalf("%s, %v", kv.Value, err)
	}
}

func TestIdentityDamaged(t *testing.T) {
	for _, value := range []string{"", "x", "{}", `{"guid":""}`, `{"guid":7}`, "null"} {
		m := NewMemory()
		if _, err := m.Txn(t.Context(), nil, []Op{{Key: MetaKey, Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
		if c, _, err := EnsureIdentity(t.Context(), m); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%q was read as %+v, %v", value, c, err)
		}
		w := m.Watch(t.Context(), WatchOptions{Prefixes: []string{"r/"}, GUID: "a"})
		if _, err := w.Next(t.Context()); !errors.Is(err, ErrForeign) {
			t.Errorf("watch with identity %q: %v", value, err)
		}
	}
}

func FuzzCluster(f *testing.F) {
	f.Add([]byte(`{"guid":"a","epoch":4,"schema":2,"colour":{"x":[1]}}`))
	f.Add([]byte(`{"GUID":"a","adopted":["b"]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := DecodeCluster(value)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil || !json.Valid(again) {
			t.Fatalf("%s, %v", again, err)
		}
		d, err := DecodeCluster(again)
		if err != nil || d.GUID != c.GUID || d.Epoch != c.Epoch || len(d.Adopted) != len(c.Adopted) {
			t.Fatalf("%+v, %v", d, err)
		}
	})
}
