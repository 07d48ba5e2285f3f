package store

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Copy is the last state of the store that a host was in sync with. Started
// while the store is away, the host works from it, says that it is stale, and
// removes nothing.
type Copy struct {
	GUID     string // of the cluster
	Epoch    uint64 // of the cluster
	Revision int64
	SavedAt  time.Time
	KVs      []KV
}

// ErrDamagedCopy is a file that is not a whole copy; what wraps it says why.
var ErrDamagedCopy = errors.New("damaged copy of the store")

// The file: magic, version, then the fields of Copy in order (numbers as
// varints, texts with their length before them), the keys with their number
// before them, and the SHA-256 of all of it.
const (
	copyMagic   = "vrouter store copy\n"
	copyVersion = 1

	// No key or value is longer: a damaged length must not take memory.
	maxCopyText = 16 << 20
)

// SaveCopy writes a copy to a file of mode 0600. The file holds the former copy
// or the new one whole, whenever the machine stops.
func SaveCopy(path string, c Copy) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("save copy of the store: %w", err)
		}
	}()
	temp := path + ".tmp" // one daemon owns the directory; what a crash left is overwritten
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(temp) // gone already after the rename
	err = writeCopy(f, c)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// LoadCopy reads what SaveCopy wrote. No file is os.ErrNotExist; a file that is
// not whole is ErrDamagedCopy.
func LoadCopy(path string) (Copy, error) {
	f, err := os.Open(path)
	if err != nil {
		return Copy{}, fmt.Errorf("load copy of the store: %w", err)
	}
	defer f.Close()
	c, err := readCopy(f)
	if err != nil {
		return Copy{}, fmt.Errorf("load copy of the store from %s: %w", path, err)
	}
	return c, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func writeCopy(to io.Writer, c Copy) error {
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(to, sum), 1<<16)
	b := append([]byte(copyMagic), copyVersion)
	b = appendText(b, c.GUID)
	b = binary.AppendUvarint(b, c.Epoch)
	b = binary.AppendVarint(b, c.Revision)
	b = binary.AppendVarint(b, c.SavedAt.UnixNano())
	b = binary.AppendUvarint(b, uint64(len(c.KVs)))
	for _, kv := range c.KVs {
		b = appendText(b, kv.Key)
		b = binary.AppendVarint(b, kv.CreateRevision)
		b = binary.AppendVarint(b, kv.ModRevision)
		b = binary.AppendUvarint(b, uint64(len(kv.Value)))
		if _, err := w.Write(b); err != nil {
			return err
		}
		if _, err := w.Write(kv.Value); err != nil {
			return err
		}
		b = b[:0]
	}
	if _, err := w.Write(b); err != nil { // the head, when there is no key
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := to.Write(sum.Sum(nil))
	return err
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func readCopy(from io.Reader) (Copy, error) {
	r := &copyReader{in: bufio.NewReaderSize(from, 1<<16), sum: sha256.New()}
	magic := r.bytes(uint64(len(copyMagic)))
	if r.err == nil && string(magic) != copyMagic {
		return Copy{}, fmt.Errorf("%w: not a copy", ErrDamagedCopy)
	}
	if v := r.uvarint(); r.err == nil && v != copyVersion {
		return Copy{}, fmt.Errorf("%w: version %d, wanted %d", ErrDamagedCopy, v, copyVersion)
	}
	c := Copy{
		GUID:     string(r.text()),
		Epoch:    r.uvarint(),
		Revision: r.varint(),
		SavedAt:  time.Unix(0, r.varint()),
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		kv := KV{Key: string(r.text()), CreateRevision: r.varint(), ModRevision: r.varint(), Value: r.text()}
		c.KVs = append(c.KVs, kv)
	}
	want := r.sum.Sum(nil)
	var got [sha256.Size]byte
	if r.err == nil {
		_, r.err = io.ReadFull(r.in, got[:])
	}
	switch {
	case errors.Is(r.err, io.EOF) || errors.Is(r.err, io.ErrUnexpectedEOF):
		return Copy{}, fmt.Errorf("%w: truncated", ErrDamagedCopy)
	case r.err != nil:
		return Copy{}, r.err
	case got != [sha256.Size]byte(want):
		return Copy{}, fmt.Errorf("%w: wrong checksum", ErrDamagedCopy)
	}
	if _, err := r.in.ReadByte(); err == nil {
		return Copy{}, fmt.Errorf("%w: bytes after its end", ErrDamagedCopy)
	}
	return c, nil
}

// copyReader reads fields and sums what it reads. After the first error it
// returns zeros.
type copyReader struct {
	in  *bufio.Reader
	sum hash.Hash
	one [1]byte
	err error
}

// ReadByte implements io.ByteReader, for the varints.
func (r *copyReader) ReadByte() (byte, error) {
	c, err := r.in.ReadByte()
	if err == nil {
		r.one[0] = c
		r.sum.Write(r.one[:])
	}
	return c, err
}

func (r *copyReader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(r)
	r.fail(err)
	return v
}

func (r *copyReader) varint() int64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadVarint(r)
	r.fail(err)
	return v
}

func (r *copyReader) text() []byte { return r.bytes(r.uvarint()) }

func (r *copyReader) bytes(n uint64) []byte {
	if r.err != nil || n == 0 {
		return nil
	}
	if n > maxCopyText {
		r.err = fmt.Errorf("%w: a text of %d bytes", ErrDamagedCopy, n)
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		r.fail(err)
		return nil
	}
	r.sum.Write(b)
	return b
}

// fail notes an error; a number that does not end is damage, too.
func (r *copyReader) fail(err error) {
	var path *os.PathError
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &path):
		r.err = err
	default:
		r.err = fmt.Errorf("%w: %w", ErrDamagedCopy, err)
	}
}
