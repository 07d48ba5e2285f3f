package nftables

import (
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// A set is a named set or map of ours, without what is in it.
type set struct {
	name string
	typ  setType
}

// verdictData is NFT_DATA_VERDICT, the type of a map's verdicts.
const verdictData = 0xffffff00

// addSet adds a set; id tells anonymous ones apart within the transaction.
func (b *batch) addSet(s set, id uint32) {
	b.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, "add set", s.name)
	b.text(unix.NFTA_SET_NAME, s.name)
	b.uint32(unix.NFTA_SET_FLAGS, s.typ.flags)
	b.uint32(unix.NFTA_SET_KEY_TYPE, s.typ.datatype)
	b.uint32(unix.NFTA_SET_KEY_LEN, uint32(s.typ.length))
	b.uint32(unix.NFTA_SET_ID, id)
	if s.typ.verdicts {
		b.uint32(unix.NFTA_SET_DATA_TYPE, verdictData)
	}
	order := uint32(2) // big endian
	if s.typ.native {
		order = 1
	}
	b.bytes(unix.NFTA_SET_USERDATA,
		userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, order))
	b.finish()
}

func (b *batch) deleteSet(name string) {
	b.message(unix.NFT_MSG_DELSET, 0, "delete set", name)
	b.text(unix.NFTA_SET_NAME, name)
	b.finish()
}

// perMessage is how many elements one message takes: the length of their list
// has 16 bits, and an element of a map has up to 200 bytes.
const perMessage = 256

func (b *batch) addElements(set string, t setType, id uint32, elements []element) {
	b.elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, "add elements to set", set, t, id, elements)
}

func (b *batch) deleteElements(set string, t setType, elements []element) {
	b.elements(unix.NFT_MSG_DELSETELEM, 0, "delete elements of set", set, t, 0, elements)
}

func (b *batch) elements(typ, flags int, verb, set string, t setType, id uint32, elements []element) {
	for len(elements) > 0 {
		n := min(perMessage, len(elements))
		b.message(typ, flags, verb, set)
		b.text(unix.NFTA_SET_ELEM_LIST_SET, set)
		if id != 0 {
			b.uint32(unix.NFTA_SET_ELEM_LIST_SET_ID, id)
		}
		list := b.open(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for _, e := range elements[:n] {
			b.element(t, e, typ == unix.NFT_MSG_NEWSETELEM)
		}
		b.close(list)
		b.finish()
		elements = elements[n:]
	}
}

func (b *batch) element(t setType, e element, isNew bool) {
	at := b.open(unix.NFTA_LIST_ELEM)
	if e.end {
		b.uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	key := b.open(unix.NFTA_SET_ELEM_KEY)
	b.b = native.AppendUint16(b.b, uint16(4+len(e.key)))
	b.b = native.AppendUint16(b.b, unix.NFTA_DATA_VALUE)
	b.b = append(b.b, e.key...)
	b.pad()
	b.close(key)
	if t.verdicts && isNew {
		b.verdict(e.verdict)
	}
	b.close(at)
}
