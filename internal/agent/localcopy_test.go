package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// load reads the local copy; its GUID is empty when there is none.
func load(t *testing.T, path string) store.Copy {
	t.Helper()
	c, err := store.LoadCopy(path)
	if err != nil && !os.IsNotExist(err) && filepath.Base(path) == "copy" {
		t.Logf("no copy: %v", err)
	}
	return c
}

// The copy holds what the store has told, and a start works from it.
func TestLocalCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy")
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start(func(o *Options) { o.CopyPath = path })
		r.pass(3 * time.Second)
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		if c := load(t, path); c.Revision >= revision || c.GUID == "" {
			t.Fatalf("the copy is of revision %d before its delay, guid %q", c.Revision, c.GUID)
		}
		// What changed last is written at the end.
		r.end()
		c := load(t, path)
		if c.Revision < revision {
			t.Fatalf("the copy is of revision %d, want %d", c.Revision, revision)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		r.client.Disconnect()
		r.start(func(o *Options) { o.Copy, o.CopyPath = c, path })
		r.pass(time.Minute)
		r.wantRoutes(lineA)
		r.wantOwn("10.0.0.1/32 100")
		// What the copy itself told is no reason to write it.
		if again := load(t, path); !again.SavedAt.Equal(c.SavedAt) {
			t.Error("a copy was made of a copy")
		}
		// Nor is a foreign store.
		r.client.Reconnect()
		r.pass(time.Minute)
		c = load(t, path)
		r.store.Wipe()
		r.pass(time.Minute)
		r.end()
		if again := load(t, path); again.GUID != c.GUID || len(again.KVs) != len(c.KVs) {
			t.Errorf("copy of %d keys of %s, was %d of %s", len(again.KVs), again.GUID, len(c.KVs), c.GUID)
		}
	})
}

// A disk that refuses the copy is tried again.
func TestLocalCopyIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	path := filepath.Join(dir, "copy")
	withRig(t, func(t *testing.T, r *rig) {
		r.start(func(o *Options) { o.CopyPath = path })
		r.pass(10 * time.Second)
		r.wantNotReady()
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r.pass(3 * time.Minute)
		if c := load(t, path); c.GUID == "" {
			t.Error("not written when the disk takes it")
		}
	})
}
