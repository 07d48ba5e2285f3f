package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func someCopy(n int) Copy {
	c := Copy{GUID: "1b4e28ba", Epoch: 3, Revision: 4711, SavedAt: time.Unix(1700000000, 5)}
	for i := range n {
		c.KVs = append(c.KVs, KV{Key: fmt.Sprintf("r/WorkloadEndpoint/default/k8s%%2Fpod-%06d", i),
			Value: bytes.Repeat([]byte{byte(i)}, i%300), CreateRevision: int64(i), ModRevision: int64(2 * i)})
	}
	return c
}

// sameValues compares copies; no value and an empty one are the same.
var sameValues = cmp.Comparer(bytes.Equal)

func TestCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy")
	if _, err := LoadCopy(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	for _, n := range []int{0, 1, 1000} { // each overwrites the former
		if err := os.WriteFile(path+".tmp", []byte("left by a crash"), 0o644); err != nil {
			t.Fatal(err)
		}
		want := someCopy(n)
		if err := SaveCopy(path, want); err != nil {
			t.Fatal(err)
		}
		got, err := LoadCopy(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameValues); diff != "" {
			t.Fatal(diff)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestCopyKeepsTheFormerOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy")
	if err := SaveCopy(path, someCopy(3)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".tmp", 0o700); err != nil { // the next one cannot be written
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SaveCopy(path, someCopy(5)); err == nil {
		t.Fatal("saved over a directory")
	}
	if c, err := LoadCopy(path); err != nil || len(c.KVs) != 3 {
		t.Fatalf("%d keys, %v", len(c.KVs), err)
	}
}

// TestCopyDamaged cuts a copy at each byte and flips each bit.
func TestCopyDamaged(t *testing.T) {
	var whole bytes.Buffer
	if err := writeCopy(&whole, someCopy(4)); err != nil {
		t.Fatal(err)
	}
	for i := range whole.Len() {
		if _, err := readCopy(bytes.NewReader(whole.Bytes()[:i])); !errors.Is(err, ErrDamagedCopy) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		for bit := range 8 {
			b := slices.Clone(whole.Bytes())
			b[i] ^= 1 << bit
			if _, err := readCopy(bytes.NewReader(b)); !errors.Is(err, ErrDamagedCopy) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
		}
	}
	whole.WriteByte(0)
	if _, err := readCopy(&whole); !errors.Is(err, ErrDamagedCopy) {
		t.Fatalf("a byte too many: %v", err)
	}
}

func FuzzReadCopy(f *testing.F) {
	for _, n := range []int{0, 1, 5} {
		var b bytes.Buffer
		if err := writeCopy(&b, someCopy(n)); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := readCopy(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrDamagedCopy) {
				t.Fatalf("not said to be damaged: %v", err)
			}
			return
		}
		var again bytes.Buffer
		if err := writeCopy(&again, c); err != nil {
			t.Fatal(err)
		}
		d, err := readCopy(&again)
		if diff := cmp.Diff(c, d, sameValues); err != nil || diff != "" {
			t.Fatalf("%v %s", err, diff)
		}
	})
}

func BenchmarkCopy(b *testing.B) {
	c := someCopy(100_000)
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			if err := writeCopy(io.Discard, c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		var whole bytes.Buffer
		if err := writeCopy(&whole, c); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := readCopy(bytes.NewReader(whole.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}
