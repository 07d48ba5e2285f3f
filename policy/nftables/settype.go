package nftables

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	gnft "github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// A setType is what the elements of a set are.
type setType struct {
	name     string
	datatype uint32 // nft's number for it, for people who list
	length   int    // of a key, in bytes
	flags    uint32
	verdicts bool // a map to verdicts
	native   bool // byte order of keys, for people who list
}

// The types of our sets. Concatenated keys are padded to registers of four
// bytes each. Keys of members begin with the number of their set.
var (
	member4Type = concat(gnft.TypeMark, gnft.TypeMark, gnft.TypeIPAddr)
	member6Type = concat(gnft.TypeMark, gnft.TypeMark, gnft.TypeIP6Addr)
	port4Type   = concat(gnft.TypeMark, gnft.TypeMark, gnft.TypeIPAddr, gnft.TypeInetProto, gnft.TypeInetService)
	port6Type   = concat(gnft.TypeMark, gnft.TypeMark, gnft.TypeIP6Addr, gnft.TypeInetProto, gnft.TypeInetService)
	ipv4Type    = setType{name: "ipv4_addr", datatype: gnft.TypeIPAddr.GetNFTMagic(), length: 4}
	ipv6Type    = setType{name: "ipv6_addr", datatype: gnft.TypeIP6Addr.GetNFTMagic(), length: 16}
	portType    = setType{name: "inet_service", datatype: gnft.TypeInetService.GetNFTMagic(), length: 2}
	ifaceType   = setType{name: "ifname", datatype: gnft.TypeIFName.GetNFTMagic(), length: unix.IFNAMSIZ, native: true}
	vmapType    = setType{name: "ifname : verdict", datatype: gnft.TypeIFName.GetNFTMagic(), length: unix.IFNAMSIZ,
		flags: unix.NFT_SET_MAP, verdicts: true, native: true}
)

func concat(types ...gnft.SetDatatype) setType {
	t := gnft.MustConcatSetType(types...)
	return setType{name: t.Name, datatype: t.GetNFTMagic(), length: int(t.Bytes)}
}

// aboutInterfaces tells whether keys are names of interfaces.
func (t setType) aboutInterfaces() bool { return t.datatype == ifaceType.datatype }

// intervals makes the type of an anonymous set of intervals.
func (t setType) intervals() setType {
	t.flags |= unix.NFT_SET_ANONYMOUS | unix.NFT_SET_CONSTANT | unix.NFT_SET_INTERVAL
	return t
}

// An element is a member of a kernel's set.
type element struct {
	key     string // bytes
	verdict verdict
	end     bool // the first key beyond an interval
}

// The verdicts of netfilter that nftables takes over.
const (
	nfDrop   = 0
	nfAccept = 1
)

// A verdict is what a map says.
type verdict struct {
	kind  int    // NF_ACCEPT, NFT_GOTO and others
	chain string // to go to
}

// String is the verdict in the language of nft.
func (v verdict) String() string {
	switch v.kind {
	case nfAccept:
		return "accept"
	case nfDrop:
		return "drop"
	case unix.NFT_GOTO:
		return "goto " + v.chain
	case unix.NFT_JUMP:
		return "jump " + v.chain
	}
	return "return"
}

var (
	acceptVerdict = verdict{kind: nfAccept}
	dropVerdict   = verdict{kind: nfDrop}
)

func gotoVerdict(chain string) verdict { return verdict{kind: unix.NFT_GOTO, chain: chain} }

// ifaceKey is an interface's name as the kernel compares it.
func ifaceKey(name string) string {
	var key [unix.IFNAMSIZ]byte
	copy(key[:unix.IFNAMSIZ-1], name)
	return string(key[:])
}

// ifaceName is the name of such a key.
func ifaceName(key string) string { return cString([]byte(key)) }

// addrKey is an address as the kernel compares it.
func addrKey(a netip.Addr) string { return string(a.AsSlice()) }

// A setNumber begins the keys of a set's members: all sets share a few of the
// kernel's, because that finds its sets by walking them.
type setNumber [8]byte

// numberOf is the same in every process: a hash of the set's ID, too long for
// anybody to find another selector with the same.
func numberOf(id policy.SetID) setNumber {
	sum := sha256.Sum256([]byte(id))
	return setNumber(sum[:8])
}

// memberKey is a member as the kernel compares it.
func memberKey(n setNumber, m policy.Member, kind policy.SetKind) string {
	key := append(make([]byte, 0, 32), n[:]...)
	key = append(key, m.Prefix.Masked().Addr().AsSlice()...)
	if kind == policy.Ports {
		key = append(key, m.Protocol, 0, 0, 0)
		key = binary.BigEndian.AppendUint16(key, m.Port)
		key = append(key, 0, 0)
	}
	return string(key)
}
