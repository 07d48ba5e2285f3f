package engine

import (
	"encoding/binary"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Sizes in octets.
const (
	maxEntry  = 64 << 10  // about; fits a batch many times
	trimAfter = 128 << 10 // how much is added before the members are asked where they are
)

// entry is whole UPDATEs, for all members but one, or for one alone.
type entry struct {
	buf      []byte
	messages int
	before   uint64 // octets written to the log before it
	audience audience
}

// audience says for whom an entry is.
type audience struct {
	peer peerID
	only bool // for peer alone; else for all others
}

func (a audience) has(p peerID) bool { return (a.peer == p) == a.only }

// log is the entries from base to end.
type log struct {
	entries   []entry
	base, end uint64
	octets    int
	added     int    // octets since the last trim
	written   uint64 // octets ever
	messages  uint64 // ever
	chunk     []byte // that entries are being written into
}

// at is the entry n, which must be there.
func (l *log) at(n uint64) *entry { return &l.entries[n-l.base] }

// room is a slice to append messages to.
func (l *log) room() []byte {
	if cap(l.chunk)-len(l.chunk) < wire.MaxMessage {
		l.chunk = make([]byte, 0, maxEntry)
	}
	return l.chunk[len(l.chunk):]
}

// add adds what was appended to room.
func (l *log) add(buf []byte, a audience) {
	if len(buf) == 0 {
		return
	}
	if n := len(l.chunk) + len(buf); n <= cap(l.chunk) {
		l.chunk = l.chunk[:n] // else it grew out of the chunk
	}
	n := countMessages(buf)
	l.entries = append(l.entries, entry{buf: buf, messages: n, before: l.written, audience: a})
	l.written += uint64(len(buf))
	l.messages += uint64(n)
	l.end++
	l.octets += len(buf)
	l.added += len(buf)
}

// drop forgets the entries before n.
func (l *log) drop(n uint64) {
	for l.base < n {
		l.octets -= len(l.entries[0].buf)
		l.entries[0] = entry{}
		l.entries = l.entries[1:]
		l.base++
	}
}

func countMessages(b []byte) int {
	n := 0
	for ; len(b) >= wire.HeaderLen; n++ {
		b = b[binary.BigEndian.Uint16(b[16:]):]
	}
	return n
}

// trim forgets what all members have read, and if that is too little, what the
// slowest have not.
func (g *group) trim(limit int) {
	if g.log.added < trimAfter && g.log.octets <= limit {
		return
	}
	g.log.added = 0
	read := g.log.end
	for _, m := range g.members {
		read = min(read, m.reads())
	}
	g.log.drop(max(read, g.log.base))
	for g.log.octets > limit {
		g.log.drop(g.log.base + 1)
	}
}

// since is the place in the log from which on some member may not know what
// changed.
func (g *group) since() uint64 {
	since := g.log.end
	for _, m := range g.members {
		since = min(since, m.since())
	}
	return since
}
