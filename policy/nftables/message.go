package nftables

import (
	"encoding/binary"
	"fmt"
	"iter"
	"syscall"

	"golang.org/x/sys/unix"
)

// builder writes netlink messages of nftables one after the other.
type builder struct {
	b     []byte
	start int // of the message that is being written
}

const (
	headerLen = 16 // struct nlmsghdr
	bodyStart = headerLen + 4
)

// begin starts a message of nftables; end it with finish.
func (w *builder) begin(typ, flags int, seq uint32) {
	w.header(unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, seq, unix.NFPROTO_INET, 0)
}

// header writes struct nlmsghdr and struct nfgenmsg.
func (w *builder) header(typ, flags int, seq uint32, family byte, resource uint16) {
	w.start = len(w.b)
	w.b = native.AppendUint32(w.b, 0)
	w.b = native.AppendUint16(w.b, uint16(typ))
	w.b = native.AppendUint16(w.b, uint16(flags|unix.NLM_F_REQUEST))
	w.b = native.AppendUint32(w.b, seq)
	w.b = native.AppendUint32(w.b, 0)
	w.b = append(w.b, family, unix.NFNETLINK_V0)
	w.b = binary.BigEndian.AppendUint16(w.b, resource)
}

func (w *builder) finish() { native.PutUint32(w.b[w.start:], uint32(len(w.b)-w.start)) }

// addFlags adds to the flags of the message written last.
func (w *builder) addFlags(flags uint16) {
	at := w.b[w.start+6:]
	native.PutUint16(at, native.Uint16(at)|flags)
}

func (w *builder) setSeq(seq uint32) { native.PutUint32(w.b[w.start+8:], seq) }

// open starts a nested attribute and returns what close needs.
func (w *builder) open(typ int) int {
	at := len(w.b)
	w.b = native.AppendUint16(w.b, 0)
	w.b = native.AppendUint16(w.b, uint16(typ|unix.NLA_F_NESTED))
	return at
}

func (w *builder) close(at int) {
	native.PutUint16(w.b[at:], uint16(len(w.b)-at))
}

func (w *builder) bytes(typ int, value []byte) {
	w.b = native.AppendUint16(w.b, uint16(4+len(value)))
	w.b = native.AppendUint16(w.b, uint16(typ))
	w.b = append(w.b, value...)
	w.pad()
}

func (w *builder) pad() {
	for len(w.b)%4 != 0 {
		w.b = append(w.b, 0)
	}
}

// text is a string with its NUL.
func (w *builder) text(typ int, value string) {
	w.b = native.AppendUint16(w.b, uint16(4+len(value)+1))
	w.b = native.AppendUint16(w.b, uint16(typ))
	w.b = append(w.b, value...)
	w.b = append(w.b, 0)
	w.pad()
}

func (w *builder) uint32(typ int, value uint32) {
	w.b = native.AppendUint16(w.b, 8)
	w.b = native.AppendUint16(w.b, uint16(typ))
	w.b = binary.BigEndian.AppendUint32(w.b, value)
}

func (w *builder) uint64(typ int, value uint64) {
	w.b = native.AppendUint16(w.b, 12)
	w.b = native.AppendUint16(w.b, uint16(typ))
	w.b = binary.BigEndian.AppendUint64(w.b, value)
}

// message is one netlink message that was received.
type message struct {
	typ, flags uint16
	seq, pid   uint32
	body       []byte // after struct nlmsghdr
}

// messages walks the messages of one read.
func messages(b []byte) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		for len(b) > 0 {
			if len(b) < headerLen {
				yield(message{}, errShort)
				return
			}
			n := int(native.Uint32(b))
			if n < headerLen || n > len(b) {
				yield(message{}, fmt.Errorf("%d of %d bytes: %w", len(b), n, errShort))
				return
			}
			m := message{
				typ: native.Uint16(b[4:]), flags: native.Uint16(b[6:]),
				seq: native.Uint32(b[8:]), pid: native.Uint32(b[12:]), body: b[headerLen:n],
			}
			if !yield(m, nil) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// typeMask is an attribute's type without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const typeMask = 0x3fff

// attributes walks attributes, without the flags of their types. Those that
// are cut short end the walk.
func attributes(b []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for len(b) >= 4 {
			n := int(native.Uint16(b))
			if n < 4 || n > len(b) {
				return
			}
			if !yield(int(native.Uint16(b[2:]))&typeMask, b[4:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// is tells whether m is a message of nftables of this type.
func (m message) is(typ int) bool {
	return int(m.typ) == unix.NFNL_SUBSYS_NFTABLES<<8|typ && len(m.body) >= 4
}

// attributes walks those of a message of nftables.
func (m message) attributes() iter.Seq2[int, []byte] { return attributes(m.body[4:]) }

// Of struct nlmsgerr and what extended acknowledgements add to it.
const (
	ackTLVs      = 0x200 // NLM_F_ACK_TLVS
	ackMessage   = 1     // NLMSGERR_ATTR_MSG
	ackTruncated = 0x100 // NLM_F_CAPPED
)

// replyError returns what the kernel says of a request; nil is success.
func replyError(m message) error {
	if len(m.body) < 4 {
		return errShort
	}
	code := int32(native.Uint32(m.body))
	if code == 0 {
		return nil
	}
	errno := syscall.Errno(-code)
	if m.flags&ackTLVs == 0 || len(m.body) < 4+headerLen {
		return errno
	}
	rest := m.body[4:]
	skip := headerLen
	if m.flags&ackTruncated == 0 {
		skip = max(skip, (int(native.Uint32(rest))+3)&^3)
	}
	for typ, value := range attributes(rest[min(skip, len(rest)):]) {
		if typ == ackMessage {
			return fmt.Errorf("%w (%s)", errno, cString(value))
		}
	}
	return errno
}

// cString is a string up to its NUL.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
