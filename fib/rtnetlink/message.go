package rtnetlink

import (
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Netlink is in the byte order of the host, addresses in network order.
var native = binary.NativeEndian

const (
	headerLen = 16 // nlmsghdr
	attrLen   = 4  // rtattr
	align     = 4

	attrTypeMask = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
)

var errShort = errors.New("netlink message cut short")

// builder appends netlink messages to a buffer.
type builder struct {
	b     []byte
	start int // of the message being built
}

// begin starts a message whose fixed part has the given length and returns
// that part.
func (m *builder) begin(typ, flags uint16, seq uint32, fixed int) []byte {
	m.start = len(m.b)
	m.b = append(m.b, make([]byte, headerLen+fixed)...)
	h := m.b[m.start:]
	native.PutUint16(h[4:], typ)
	native.PutUint16(h[6:], flags)
	native.PutUint32(h[8:], seq)
	return h[headerLen:]
}

// end fixes the length of the message.
func (m *builder) end() {
	native.PutUint32(m.b[m.start:], uint32(len(m.b)-m.start))
}

// setFlags adds flags to the message being built.
func (m *builder) setFlags(flags uint16) {
	h := m.b[m.start:]
	native.PutUint16(h[6:], native.Uint16(h[6:])|flags)
}

func (m *builder) bytes(typ uint16, value []byte) {
	at := m.nest(typ)
	m.b = append(m.b, value...)
	m.unnest(at)
}

func (m *builder) uint32(typ uint16, value uint32) {
	m.b = native.AppendUint16(m.b, attrLen+4)
	m.b = native.AppendUint16(m.b, typ)
	m.b = native.AppendUint32(m.b, value)
}

func (m *builder) address(typ uint16, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		m.bytes(typ, v[:])
		return
	}
	v := a.As16()
	m.bytes(typ, v[:])
}

// nest starts an attribute of unknown length; unnest ends it.
func (m *builder) nest(typ uint16) (at int) {
	at = len(m.b)
	m.b = native.AppendUint16(m.b, 0)
	m.b = native.AppendUint16(m.b, typ)
	return at
}

func (m *builder) unnest(at int) {
	native.PutUint16(m.b[at:], uint16(len(m.b)-at))
	for len(m.b)%align != 0 {
		m.b = append(m.b, 0)
	}
}

// message is one netlink message received.
type message struct {
	typ, flags uint16
	seq, pid   uint32
	body       []byte
}

// messages walks the netlink messages in b. A malformed one ends the walk with
// an error.
func messages(b []byte) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		for len(b) > 0 {
			if len(b) < headerLen {
				yield(message{}, errShort)
				return
			}
			n := int(native.Uint32(b))
			if n < headerLen || n > len(b) {
				yield(message{}, errShort)
				return
			}
			m := message{
				typ: native.Uint16(b[4:]), flags: native.Uint16(b[6:]),
				seq: native.Uint32(b[8:]), pid: native.Uint32(b[12:]), body: b[headerLen:n],
			}
			if !yield(m, nil) {
				return
			}
			b = b[min((n+align-1)&^(align-1), len(b)):]
		}
	}
}

// attrs walks the attributes in b. What is malformed ends the walk.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrLen {
			n := int(native.Uint16(b))
			if n < attrLen || n > len(b) {
				return
			}
			if !yield(native.Uint16(b[2:])&attrTypeMask, b[attrLen:n]) {
				return
			}
			b = b[min((n+align-1)&^(align-1), len(b)):]
		}
	}
}

// u32 reads a number, 0 from what is too short.
func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return native.Uint32(b)
}

// addr reads an address, none from what has no such length.
func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// ackError returns the error of an NLMSG_ERROR or NLMSG_DONE message: nil for
// a plain acknowledgement.
func ackError(m message) error {
	if len(m.body) < 4 {
		if m.typ == unix.NLMSG_DONE {
			return nil
		}
		return errShort
	}
	code := int32(native.Uint32(m.body))
	if code >= 0 {
		return nil
	}
	e := &Error{Errno: unix.Errno(-code)}
	rest := m.body[4:]
	if m.typ == unix.NLMSG_ERROR { // the header of the message at fault, and its body unless capped
		skip := headerLen
		if m.flags&unix.NLM_F_CAPPED == 0 && len(rest) >= headerLen {
			skip = int(min(native.Uint32(rest), uint32(len(rest))))
			skip = max((skip+align-1)&^(align-1), headerLen)
		}
		rest = rest[min(skip, len(rest)):]
	}
	if m.flags&unix.NLM_F_ACK_TLVS != 0 {
		for typ, value := range attrs(rest) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				e.Text = cString(value)
			}
		}
	}
	return e
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// Error is a refusal by the kernel.
type Error struct {
	Errno unix.Errno
	Text  string // the kernel's own explanation, if it gave one
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Errno.Error()
	}
	return e.Text + " (" + e.Errno.Error() + ")"
}

func (e *Error) Unwrap() error { return e.Errno }
