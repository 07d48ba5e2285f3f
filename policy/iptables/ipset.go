package iptables

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ipsets speaks to the kernel's sets over one lasting socket. The library has
// sockets and attributes for that; what it lacks are many members in one
// message, hash sizes, and lists that leave members of others alone.
type ipsets struct {
	socket *nl.NetlinkSocket
	shared map[int]*nl.SocketHandle
}

func newIPSets(n namespace) (*ipsets, error) {
	var s *ipsets
	err := n.do(func() error {
		socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_NETFILTER)
		if err != nil {
			return fmt.Errorf("open netlink socket for sets: %w", err)
		}
		s = &ipsets{socket: socket, shared: map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: socket}}}
		return nil
	})
	return s, err
}

func (s *ipsets) close() { s.socket.Close() }

// An entry is a member of a kernel's set.
type entry struct {
	prefix   netip.Prefix
	protocol uint8 // of sets with ports
	port     uint16
}

// header is what the kernel says of a set.
type header struct {
	name, typ string
	family    uint8
	max       uint32 // members
}

// types of sets by the letter of their kind.
var setTypes = map[byte]struct {
	name     string
	revision uint8
}{
	addressesLetter: {"hash:ip", 0}, networksLetter: {"hash:net", 0},
	listLetter: {"hash:net", 0}, portsLetter: {"hash:ip,port", 1},
}

// minHashSize is the least that the kernel takes; sets grow by themselves.
const minHashSize = 64

// create makes an empty set, whose name says what it is for.
func (s *ipsets) create(name string, f *family, kind byte, maxMembers uint32) error {
	req := s.request(nl.IPSET_CMD_CREATE, unix.NLM_F_EXCL)
	typ := setTypes[kind]
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_TYPENAME, nl.ZeroTerminated(typ.name)))
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_REVISION, []byte{typ.revision}))
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_FAMILY, []byte{f.nfproto}))
	data := nl.NewRtAttr(nl.IPSET_ATTR_DATA|unix.NLA_F_NESTED, nil)
	data.AddRtAttr(nl.IPSET_ATTR_HASHSIZE|unix.NLA_F_NET_BYTEORDER, bigEndian(minHashSize))
	data.AddRtAttr(nl.IPSET_ATTR_MAXELEM|unix.NLA_F_NET_BYTEORDER, bigEndian(maxMembers))
	req.AddData(data)
	return s.execute(req, "create set", name)
}

// destroy removes a set; none is no error.
func (s *ipsets) destroy(name string) error {
	req := s.request(nl.IPSET_CMD_DESTROY, 0)
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(name)))
	err := s.execute(req, "destroy set", name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// releaseLimit is how long clean waits until the kernel lets go of sets. It
// takes milliseconds, or as long as a busy machine keeps its workers waiting;
// what a rule of a stranger asks for is never let go.
const releaseLimit = 10 * time.Second

// clean destroys all sets of ours, for which no rule asks any more. For nft it
// may look for a while as if one did: it frees rules after they are gone.
func (s *ipsets) clean(ctx context.Context) error {
	headers, err := s.headers()
	errs := []error{err}
	ctx, cancel := context.WithTimeout(ctx, releaseLimit)
	defer cancel()
	for name := range headers {
		if isOurs(name) {
			errs = append(errs, s.destroyReleased(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// destroyReleased removes a set as soon as the kernel lets it go.
func (s *ipsets) destroyReleased(ctx context.Context, name string) error {
	for {
		err := s.destroy(name)
		if !errors.Is(err, nl.IPSetError(nl.IPSET_ERR_BUSY)) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// swap has two sets change their names.
func (s *ipsets) swap(a, b string) error {
	req := s.request(nl.IPSET_CMD_SWAP, 0)
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(a)))
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_SETNAME2, nl.ZeroTerminated(b)))
	return s.execute(req, "swap set", a)
}

// entriesPerMessage keeps the nested attribute of all entries below 64 KiB.
const entriesPerMessage = 800

// add and remove change members; one that is there already, or is not there,
// is no error.
func (s *ipsets) add(name string, entries []entry) error {
	return s.change(nl.IPSET_CMD_ADD, "add to set", name, entries)
}

func (s *ipsets) remove(name string, entries []entry) error {
	return s.change(nl.IPSET_CMD_DEL, "remove from set", name, entries)
}

func (s *ipsets) change(cmd int, doing, name string, entries []entry) error {
	for len(entries) > 0 {
		n := min(len(entries), entriesPerMessage)
		req := s.request(cmd, 0)
		req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(name)))
		req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_LINENO, bigEndian(0)))
		var all []byte
		for _, e := range entries[:n] {
			all = e.appendTo(all)
		}
		req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_ADT|unix.NLA_F_NESTED, all))
		if err := s.execute(req, doing, name); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

func (s *ipsets) request(cmd, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_IPSET<<8|cmd, unix.NLM_F_ACK|flags)
	req.Sockets = s.shared
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET})
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_PROTOCOL, []byte{nl.IPSET_PROTOCOL}))
	return req
}

func (s *ipsets) execute(req *nl.NetlinkRequest, doing, name string) error {
	if _, err := req.Execute(unix.NETLINK_NETFILTER, 0); err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, setError(err))
	}
	return nil
}

// setError puts the errors that only sets have into words.
func setError(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok && errno >= nl.IPSET_ERR_PRIVATE {
		return nl.IPSetError(errno)
	}
	return err
}

func bigEndian(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
