package iptables

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// appendTo encodes an entry as one nested attribute.
func (e entry) appendTo(b []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	kind, addr := uint16(nl.IPSET_ATTR_IPADDR_IPV4), e.prefix.Addr().AsSlice()
	if len(addr) == 16 {
		kind = nl.IPSET_ATTR_IPADDR_IPV6
	}
	b = binary.NativeEndian.AppendUint16(b, uint16(8+len(addr)))
	b = binary.NativeEndian.AppendUint16(b, nl.IPSET_ATTR_IP|unix.NLA_F_NESTED)
	b = appendAttr(b, kind|unix.NLA_F_NET_BYTEORDER, addr...)
	if !e.prefix.IsSingleIP() {
		b = appendAttr(b, nl.IPSET_ATTR_CIDR, byte(e.prefix.Bits()))
	}
	if e.protocol != 0 {
		b = appendAttr(b, nl.IPSET_ATTR_PROTO, e.protocol)
		b = appendAttr(b, nl.IPSET_ATTR_PORT|unix.NLA_F_NET_BYTEORDER, byte(e.port>>8), byte(e.port))
	}
	b = appendAttr(b, nl.IPSET_ATTR_LINENO|unix.NLA_F_NET_BYTEORDER, 0, 0, 0, 0)
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	binary.NativeEndian.PutUint16(b[start+2:], nl.IPSET_ATTR_DATA|unix.NLA_F_NESTED)
	return b
}

func appendAttr(b []byte, typ uint16, value ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// eachAttr calls f for every attribute of a message, with its flags removed.
func eachAttr(b []byte, f func(typ uint16, value []byte) error) error {
	for len(b) > 0 {
		if len(b) < 4 {
			return fmt.Errorf("attribute of %d bytes", len(b))
		}
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return fmt.Errorf("attribute says %d bytes of %d", n, len(b))
		}
		if err := f(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// ipsetListHeader asks for no members.
const ipsetListHeader = 1 << 2

// headers lists the sets of all programs, without their members.
func (s *ipsets) headers() (map[string]header, error) {
	req := s.request(nl.IPSET_CMD_LIST, unix.NLM_F_DUMP)
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_FLAGS|unix.NLA_F_NET_BYTEORDER, bigEndian(ipsetListHeader)))
	out := map[string]header{}
	err := s.dump(req, "list sets", func(h header, _ []byte) error {
		out[h.name] = h
		return nil
	})
	return out, err
}

// members lists those of one set.
func (s *ipsets) members(name string) ([]entry, error) {
	req := s.request(nl.IPSET_CMD_LIST, unix.NLM_F_DUMP)
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(name)))
	var out []entry
	err := s.dump(req, "list set "+name, func(_ header, adt []byte) error {
		return eachAttr(adt, func(_ uint16, data []byte) error {
			e, err := parseEntry(data)
			out = append(out, e)
			return err
		})
	})
	return out, err
}

// dump calls for every message: of a large set there are several.
func (s *ipsets) dump(req *nl.NetlinkRequest, doing string, f func(h header, adt []byte) error) error {
	msgs, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, setError(err))
	}
	for _, msg := range msgs {
		h, adt, err := parseSet(msg)
		if err == nil {
			err = f(h, adt)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return nil
}

// sizeofNfgenmsg is before the attributes of every message.
const sizeofNfgenmsg = 4

func parseSet(msg []byte) (h header, adt []byte, err error) {
	if len(msg) < sizeofNfgenmsg {
		return h, nil, fmt.Errorf("message of %d bytes", len(msg))
	}
	err = eachAttr(msg[sizeofNfgenmsg:], func(typ uint16, value []byte) error {
		switch typ {
		case nl.IPSET_ATTR_SETNAME:
			h.name = unix.ByteSliceToString(value)
		case nl.IPSET_ATTR_TYPENAME:
			h.typ = unix.ByteSliceToString(value)
		case nl.IPSET_ATTR_FAMILY:
			if len(value) == 1 {
				h.family = value[0]
			}
		case nl.IPSET_ATTR_ADT:
			adt = value
		case nl.IPSET_ATTR_DATA:
			return eachAttr(value, func(typ uint16, value []byte) error {
				if typ == nl.IPSET_ATTR_MAXELEM && len(value) == 4 {
					h.max = binary.BigEndian.Uint32(value)
				}
				return nil
			})
		}
		return nil
	})
	return h, adt, err
}

func parseEntry(data []byte) (entry, error) {
	var e entry
	var addr netip.Addr
	bits := -1
	err := eachAttr(data, func(typ uint16, value []byte) error {
		switch {
		case typ == nl.IPSET_ATTR_IP:
			return eachAttr(value, func(_ uint16, value []byte) error {
				var ok bool
				if addr, ok = netip.AddrFromSlice(value); !ok {
					return fmt.Errorf("address of %d bytes", len(value))
				}
				return nil
			})
		case typ == nl.IPSET_ATTR_CIDR && len(value) == 1:
			bits = int(value[0])
		case typ == nl.IPSET_ATTR_PROTO && len(value) == 1:
			e.protocol = value[0]
		case typ == nl.IPSET_ATTR_PORT && len(value) == 2:
			e.port = binary.BigEndian.Uint16(value)
		}
		return nil
	})
	if bits < 0 {
		bits = addr.BitLen()
	}
	e.prefix = netip.PrefixFrom(addr, bits)
	return e, err
}
