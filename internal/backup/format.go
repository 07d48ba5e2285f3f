package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/store"
)

// The first line says what it is.
const (
	formatName    = "vrouter datastore export"
	formatVersion = 1
)

// ranges returns what a file holds, in order: the rest of a store is of this
// moment, or of one host.
func ranges() []string {
	return []string{store.AddressPrefix, store.BlockPrefix, store.HandlePrefix, store.HostsPrefix, store.ResourcePrefix}
}

// within tells whether a key is of one of the ranges.
func within(key string) bool {
	return slices.ContainsFunc(ranges(), func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// Header is the first line of a file.
type Header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	// ClusterGUID and Revision of the store at which the file shows it.
	ClusterGUID string `json:"clusterGUID"`
	Revision    int64  `json:"revision"`
	// SequenceFloor is a number that no sequence number of IPAM is above which
	// the store had given out by then.
	SequenceFloor uint64 `json:"sequenceFloor,string"`
	// Locked: nothing was written after Revision, as long as it stayed locked.
	Locked bool `json:"locked"`
	// Secrets: the Secret objects are in it.
	Secrets bool   `json:"secrets"`
	Created string `json:"created"` // RFC 3339
	Writer  string `json:"writer"`  // the version of vrouter
}

// record is a line for a key.
type record struct {
	Key   string `json:"key"`
	Value []byte `json:"value"` // base64
}

// trailer is the last line.
type trailer struct {
	End *end `json:"end"`
}

type end struct {
	Keys   int    `json:"keys"`
	SHA256 string `json:"sha256"` // of all lines before, with their line ends, in hexadecimal
}

// KV is a key as it is stored, with its value.
type KV struct {
	Key   string
	Value []byte
}

// File is a whole export.
type File struct {
	Header
	KVs []KV // in order of keys, none twice
	Sum string
}

// origin says for people what the file is of. One that was made of what another
// program wrote has no revision.
func (f *File) origin() string {
	if f.Revision == 0 {
		return "cluster " + f.ClusterGUID
	}
	return fmt.Sprintf("cluster %s as of revision %d", f.ClusterGUID, f.Revision)
}

// Write renders a file.
func (f *File) Write(to io.Writer) error {
	w := &lineWriter{to: bufio.NewWriterSize(to, 64<<10), sum: sha256.New()}
	if err := w.line(f.Header); err != nil {
		return err
	}
	for _, kv := range f.KVs {
		if err := w.line(record(kv)); err != nil {
			return err
		}
	}
	if err := w.line(trailer{&end{len(f.KVs), hex.EncodeToString(w.sum.Sum(nil))}}); err != nil {
		return err
	}
	return w.to.Flush()
}

// lineWriter writes lines of JSON and sums them up.
type lineWriter struct {
	to  *bufio.Writer
	sum hash.Hash
}

func (w *lineWriter) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	text = append(text, '\n')
	w.sum.Write(text)
	_, err = w.to.Write(text)
	return err
}
