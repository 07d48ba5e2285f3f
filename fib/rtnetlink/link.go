package rtnetlink

import (
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
)

const (
	ifinfomsgLen = 16 // struct ifinfomsg
	ifaddrmsgLen = 8  // struct ifaddrmsg
)

// parseLink reads a link message. It reports false for what is none of a
// device: a message cut short, or a bridge's view of its port.
func parseLink(b []byte) (l fib.Link, ok bool) {
	if len(b) < ifinfomsgLen || b[0] != unix.AF_UNSPEC {
		return l, false
	}
	flags := native.Uint32(b[8:])
	l.Index = int32(native.Uint32(b[4:]))
	l.Up = flags&unix.IFF_UP != 0
	l.Carrier = l.Up && flags&unix.IFF_LOWER_UP != 0
	for typ, value := range attrs(b[ifinfomsgLen:]) {
		if typ == unix.IFLA_IFNAME {
			l.Name = cString(value)
		}
	}
	return l, l.Index != 0 && l.Name != ""
}

// parseAddress reads an address message: the address of this host, also on a
// link with a peer address.
func parseAddress(b []byte) (a fib.Address, ok bool) {
	if len(b) < ifaddrmsgLen {
		return a, false
	}
	a.Index = int32(native.Uint32(b[4:]))
	for typ, value := range attrs(b[ifaddrmsgLen:]) {
		switch typ {
		case unix.IFA_LOCAL:
			a.Addr = addr(value)
		case unix.IFA_ADDRESS:
			if !a.Addr.IsValid() {
				a.Addr = addr(value)
			}
		}
	}
	return a, a.Addr.IsValid()
}
