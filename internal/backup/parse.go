package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"time"
)

const (
	// maxLine is above what a value of etcd's largest size takes in base64.
	maxLine = 4 << 20
	// maxFile bounds what is kept of a file in memory: some millions of
	// endpoints.
	maxFile = 1 << 30
)

// ErrDamaged is a file that is no export, or not whole, or was changed.
var ErrDamaged = errors.New("not a whole export")

// Parse reads a file to its end. An error that is not the reader's wraps
// ErrDamaged and names the line.
func Parse(from io.Reader) (*File, error) {
	p := &parser{f: &File{}}
	lines := bufio.NewScanner(io.LimitReader(from, maxFile+1))
	lines.Buffer(nil, maxLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		p.n++
		if err := p.line(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, p.n, err)
		}
	}
	err := lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong), errors.Is(err, errCut):
		return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, p.n+1, err)
	case err != nil:
		return nil, fmt.Errorf("read export: %w", err)
	case p.bytes > maxFile:
		return nil, fmt.Errorf("%w: it is larger than %d bytes", ErrDamaged, maxFile)
	case !p.ended:
		return nil, fmt.Errorf("%w: it ends after line %d without its last one", ErrDamaged, p.n)
	}
	return p.f, nil
}

// errCut is a last line without its end.
var errCut = errors.New("the line is cut off")

// wholeLines gives out lines with their ends.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errCut
	}
	return 0, nil, nil
}

// parser takes a file line by line.
type parser struct {
	f     *File
	n     int // lines
	bytes int
	hash  hash.Hash // of the lines so far
	ended bool
}

func (p *parser) line(text []byte) error {
	if p.bytes += len(text); p.bytes > maxFile {
		return fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	switch {
	case p.ended:
		return errors.New("it comes after the last one")
	case p.n == 1:
		p.hash = sha256.New()
		if err := p.header(text); err != nil {
			return err
		}
	default:
		if end, err := p.record(text); err != nil || end {
			return err
		}
	}
	_, err := p.hash.Write(text)
	return err
}

func (p *parser) header(text []byte) error {
	// What it is first: of another version nothing else is known.
	var what struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(text, &what); err != nil || what.Format != formatName {
		return fmt.Errorf("it does not begin as an export does (format %q); what Calico's tools wrote is taken as --from calico", formatName)
	}
	if what.Version != formatVersion {
		return fmt.Errorf("it is of version %d of the format, and this vrouter knows %d", what.Version, formatVersion)
	}
	h := &p.f.Header
	if err := strict(text, h); err != nil {
		return err
	}
	switch _, err := time.Parse(time.RFC3339, h.Created); {
	case h.ClusterGUID == "":
		return errors.New("clusterGUID is missing")
	case h.Revision <= 0:
		return fmt.Errorf("revision %d is none of a store", h.Revision)
	case h.SequenceFloor < uint64(h.Revision):
		return fmt.Errorf("sequenceFloor %d is below the revision", h.SequenceFloor)
	case h.SequenceFloor > math.MaxInt64: // what begins above it must not begin anew
		return fmt.Errorf("sequenceFloor %d is above what a store gives out", h.SequenceFloor)
	case err != nil:
		return fmt.Errorf("created: %w", err)
	}
	return nil
}

// record takes the line of a key, or the last one, which is its end.
func (p *parser) record(text []byte) (last bool, err error) {
	var line struct {
		Key   *string `json:"key"`
		Value *[]byte `json:"value"`
		End   *end    `json:"end"`
	}
	if err := strict(text, &line); err != nil {
		return false, err
	}
	if line.End != nil && line.Key == nil && line.Value == nil {
		p.ended = true
		p.f.Sum = hex.EncodeToString(p.hash.Sum(nil))
		switch {
		case line.End.Keys != len(p.f.KVs):
			return true, fmt.Errorf("it has %d keys, and says %d", len(p.f.KVs), line.End.Keys)
		case line.End.SHA256 != p.f.Sum:
			return true, errors.New("its checksum is another: it was changed, or damaged")
		}
		return true, nil
	}
	if line.Key == nil || line.Value == nil || line.End != nil {
		return false, errors.New("neither a key with its value nor the end")
	}
	kv := KV{*line.Key, *line.Value}
	if n := len(p.f.KVs); n > 0 && p.f.KVs[n-1].Key >= kv.Key {
		return false, fmt.Errorf("key %q comes after %q", kv.Key, p.f.KVs[n-1].Key)
	}
	if !within(kv.Key) {
		return false, fmt.Errorf("key %q is none that an export has", kv.Key)
	}
	p.f.KVs = append(p.f.KVs, kv)
	return false, nil
}

// strict reads one value and nothing else, with no field that is not known.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value in a line")
	}
	return nil
}
