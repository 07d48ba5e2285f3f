package hostnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Flow is a connection that the kernel tracks, as the filter of forwarded and
// delivered packets sees its first packet: its destination is translated
// already, its source not yet.
type Flow struct {
	Source, Destination         netip.Addr
	Protocol                    uint8
	SourcePort, DestinationPort uint16 // of protocols that have ports
	ICMPType, ICMPCode          uint8
	// FromHost and ToHost: the host itself has the source, the destination.
	FromHost, ToHost bool

	key []byte // attributes that name it to the kernel
}

// maxFlowBatch is how many flows are judged between looks at whether to stop.
const maxFlowBatch = 1024

// CutFlows has the kernel forget the tracked connections that denied says so
// of: their next packet is judged like the first of a new one. It returns how
// many went. The kernel's table is read once per family; one without
// connection tracking has none.
func (h *Host) CutFlows(ctx context.Context, denied func(*Flow) bool) (int, error) {
	// Asking by netlink would load the module, and start tracking.
	if _, err := h.sysctls.Get("net/netfilter/nf_conntrack_max"); err != nil {
		return 0, nil
	}
	own, err := h.ownAddresses()
	if err != nil {
		return 0, err
	}
	cut := 0
	var problems []error
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		condemned, err := readFlows(ctx, family, func(f *Flow) bool {
			f.FromHost, f.ToHost = own[f.Source], own[f.Destination]
			return denied(f)
		})
		problems = append(problems, err)
		for _, f := range condemned {
			if ctx.Err() != nil {
				return cut, context.Cause(ctx)
			}
			switch err := f.delete(family); {
			case err == nil:
				cut++
			case !errors.Is(err, unix.ENOENT): // it has ended meanwhile
				problems = append(problems, err)
			}
		}
	}
	return cut, errors.Join(problems...)
}

// ownAddresses returns the addresses of all interfaces.
func (h *Host) ownAddresses() (map[netip.Addr]bool, error) {
	list, err := h.listAddrs(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of the host: %w", err)
	}
	own := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			own[addr.Unmap()] = true
		}
	}
	return own, nil
}

// readFlows returns the flows of a family that are wanted. One that is read
// while the table changes may be missing.
func readFlows(ctx context.Context, family uint8, want func(*Flow) bool) ([]*Flow, error) {
	req := conntrackRequest(family, nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
	var flows []*Flow
	var bad error
	n := 0
	err := req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(msg []byte) bool {
		if n++; n%maxFlowBatch == 0 && ctx.Err() != nil {
			bad = context.Cause(ctx)
			return false
		}
		f, err := parseFlow(msg)
		if err != nil {
			bad = err
		} else if f != nil && want(f) {
			flows = append(flows, f)
		}
		return true
	})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		bad = errors.Join(bad, err)
	}
	if bad != nil {
		return flows, fmt.Errorf("read tracked connections: %w", bad)
	}
	return flows, nil
}

func conntrackRequest(family uint8, operation, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|operation, flags)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	return req
}

// delete has the kernel forget the flow, and no other that took its place.
func (f *Flow) delete(family uint8) error {
	req := conntrackRequest(family, nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK)
	req.AddRawData(f.key)
	if _, err := req.Execute(unix.NETLINK_NETFILTER, 0); err != nil {
		return fmt.Errorf("delete the tracked connection from %s to %s: %w", f.Source, f.Destination, err)
	}
	return nil
}

// The attributes of ctnetlink that name a flow beside those of nl.
const (
	ctaID   = 12
	ctaZone = 18
	// Of a CTA_TUPLE_PROTO.
	ctaICMPType, ctaICMPCode     = 5, 6
	ctaICMPv6Type, ctaICMPv6Code = 8, 9
	// attrType is without the flags of an attribute's type.
	attrType = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
)

// tuple is one direction of a flow, as the kernel tells it.
type tuple struct {
	source, destination         netip.Addr
	protocol                    uint8
	sourcePort, destinationPort uint16
	icmpType, icmpCode          uint8
}

// parseFlow reads a message of ctnetlink; nil without an error for one that has
// no addresses.
func parseFlow(msg []byte) (*Flow, error) {
	if len(msg) < nl.SizeofNfgenmsg {
		return nil, errors.New("message is cut short")
	}
	var original, reply tuple
	var key []byte
	err := attributes(msg[nl.SizeofNfgenmsg:], func(typ uint16, value, whole []byte) (err error) {
		switch typ {
		case nl.CTA_TUPLE_ORIG:
			key = append(key, whole...)
			original, err = parseTuple(value)
		case nl.CTA_TUPLE_REPLY:
			reply, err = parseTuple(value)
		case ctaID, ctaZone:
			key = append(key, whole...)
		}
		return err
	})
	if err != nil || !original.source.IsValid() || !reply.source.IsValid() {
		return nil, err
	}
	return &Flow{
		Source: original.source, Destination: reply.source, Protocol: original.protocol,
		SourcePort: original.sourcePort, DestinationPort: reply.sourcePort,
		ICMPType: original.icmpType, ICMPCode: original.icmpCode, key: key,
	}, nil
}

func parseTuple(data []byte) (t tuple, err error) {
	err = attributes(data, func(typ uint16, value, _ []byte) error {
		switch typ {
		case nl.CTA_TUPLE_IP:
			return attributes(value, t.address)
		case nl.CTA_TUPLE_PROTO:
			return attributes(value, t.proto)
		}
		return nil
	})
	return t, err
}

func (t *tuple) address(typ uint16, value, _ []byte) error {
	a, ok := netip.AddrFromSlice(value)
	if !ok {
		return fmt.Errorf("address of %d octets", len(value))
	}
	switch typ {
	case nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC:
		t.source = a
	case nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST:
		t.destination = a
	}
	return nil
}

func (t *tuple) proto(typ uint16, value, _ []byte) error {
	switch typ {
	case nl.CTA_PROTO_SRC_PORT, nl.CTA_PROTO_DST_PORT:
		if len(value) != 2 {
			return fmt.Errorf("port of %d octets", len(value))
		}
	default:
		if len(value) == 0 {
			return nil
		}
	}
	switch typ {
	case nl.CTA_PROTO_NUM:
		t.protocol = value[0]
	case nl.CTA_PROTO_SRC_PORT:
		t.sourcePort = binary.BigEndian.Uint16(value)
	case nl.CTA_PROTO_DST_PORT:
		t.destinationPort = binary.BigEndian.Uint16(value)
	case ctaICMPType, ctaICMPv6Type:
		t.icmpType = value[0]
	case ctaICMPCode, ctaICMPv6Code:
		t.icmpCode = value[0]
	}
	return nil
}

// attributes calls f with each attribute's type, value and whole, padding
// included.
func attributes(data []byte, f func(typ uint16, value, whole []byte) error) error {
	for len(data) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(data))
		if size < unix.SizeofNlAttr || size > len(data) {
			return fmt.Errorf("attribute of %d octets in %d", size, len(data))
		}
		padded := min((size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(data))
		if err := f(binary.NativeEndian.Uint16(data[2:])&attrType, data[unix.SizeofNlAttr:size], data[:padded]); err != nil {
			return err
		}
		data = data[padded:]
	}
	return nil
}
