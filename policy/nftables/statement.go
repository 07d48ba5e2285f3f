package nftables

import (
	"fmt"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// What a rule does, as clauses.

func counter() clause { return clause{text: "counter", exprs: []expr.Any{&expr.Counter{}}} }

func accept() clause { return does("accept", expr.VerdictAccept, "") }
func drop() clause   { return does("drop", expr.VerdictDrop, "") }
func leave() clause  { return does("return", expr.VerdictReturn, "") }

func jumpTo(chain string) clause { return does("jump "+chain, expr.VerdictJump, chain) }
func goTo(chain string) clause   { return does("goto "+chain, expr.VerdictGoto, chain) }

func does(text string, kind expr.VerdictKind, chain string) clause {
	return clause{text: text, exprs: []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}}
}

// reject answers that the packet is prohibited, in the words of its family.
func reject() clause {
	return clause{text: "reject with icmpx admin-prohibited", exprs: []expr.Any{
		&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED},
	}}
}

// logTo sends the first bytes of a packet to an NFLOG group.
func logTo(group uint16, prefix string) clause {
	return clause{
		text: fmt.Sprintf("log prefix %q group %d snaplen %d", prefix, group, snaplen),
		exprs: []expr.Any{&expr.Log{
			Key:   1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_SNAPLEN,
			Group: group, Data: []byte(prefix), Snaplen: snaplen,
		}},
	}
}

// snaplen holds the headers of any packet, with options and extensions.
const snaplen = 128

// setMark sets or clears bits of the packet's mark.
func setMark(bits uint32, on bool) clause {
	xor, text := uint32(0), fmt.Sprintf("meta mark set meta mark & 0x%08x", ^bits)
	if on {
		xor, text = bits, fmt.Sprintf("meta mark set meta mark | 0x%x", bits)
	}
	return clause{text: text, exprs: []expr.Any{
		meta(expr.MetaKeyMARK),
		&expr.Bitwise{
			SourceRegister: reg, DestRegister: reg, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(^bits), Xor: binaryutil.NativeEndian.PutUint32(xor),
		},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg},
	}}
}

// dispatch looks an interface up in a map and does what it says; what is not
// there goes on.
func dispatch(d device, vmap string) clause {
	return clause{
		text: fmt.Sprintf("%s vmap @%s", d, vmap),
		exprs: []expr.Any{
			meta(expr.MetaKey(d)),
			&expr.Lookup{SourceRegister: reg, SetName: vmap, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true},
		},
	}
}

// notrack keeps connection tracking away from the packet.
func notrack() clause { return clause{text: "notrack", exprs: []expr.Any{&expr.Notrack{}}} }
