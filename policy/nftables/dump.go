package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// held is what the kernel has of our table.
type held struct {
	exists bool
	flags  uint32
	owner  uint32 // port id of the socket that owns the table; zero: none
	chains map[string]*heldChain
	sets   map[string]*heldSet
}

func newHeld() *held {
	return &held{chains: map[string]*heldChain{}, sets: map[string]*heldSet{}}
}

// recall takes over which sets were seen, and with what in them.
func (h *held) recall(before *held) {
	for name, set := range before.sets {
		if now := h.sets[name]; now != nil {
			now.seen, now.sum = set.seen, set.sum
		}
	}
}

// A heldChain is a chain as it was read or written.
type heldChain struct {
	base  *hook
	rules []heldRule
}

// A heldRule is a rule of which we wrote the identity.
type heldRule struct {
	identity       string
	handle         uint64 // zero: not read yet
	packets, bytes uint64 // as of reading
}

// A heldSet is a set as it was read or written.
type heldSet struct {
	typ setType
	// elements is kept of sets about interfaces only; the others can be large,
	// and are kept by the kernel.
	elements map[string]verdict
	seen     bool   // its members were read or written whole by us, and all since
	sum      uint64 // of the members of a set that was seen, see summer
}

// Attributes and flags that package unix lacks.
const (
	tableFlagOwner   = 0x2 // NFT_TABLE_F_OWNER, Linux 5.12
	tableFlagPersist = 0x4 // NFT_TABLE_F_PERSIST, Linux 6.9
	tableOwner       = 7   // NFTA_TABLE_OWNER
)

// readTable reads whether our table is there and whose it is.
func (s *socket) readTable() (*held, error) {
	h := newHeld()
	err := s.dump(dumpRequest(unix.NFT_MSG_GETTABLE, nil), func(m message) error {
		if !m.is(unix.NFT_MSG_NEWTABLE) || !m.isOurs() {
			return nil
		}
		h.exists = true
		for typ, value := range m.attributes() {
			switch {
			case typ == unix.NFTA_TABLE_FLAGS && len(value) == 4:
				h.flags = binary.BigEndian.Uint32(value)
			case typ == tableOwner && len(value) == 4:
				h.owner = binary.BigEndian.Uint32(value)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tables: %w", err)
	}
	return h, nil
}

// isOurs tells whether a message is about our table. All types of messages
// have the table's name as attribute 1.
func (m message) isOurs() bool {
	if m.body[0] != unix.NFPROTO_INET {
		return false
	}
	for typ, value := range m.attributes() {
		if typ == unix.NFTA_TABLE_NAME {
			return cString(value) == tableName
		}
	}
	return false
}

// dumpRequest asks for everything of a type, of our table where the kernel
// can tell.
func dumpRequest(typ int, more func(*builder)) *builder {
	w := &builder{}
	w.begin(typ, unix.NLM_F_DUMP, 0)
	if typ != unix.NFT_MSG_GETTABLE {
		w.text(unix.NFTA_TABLE_NAME, tableName)
	}
	if more != nil {
		more(w)
	}
	w.finish()
	return w
}

// readAll reads chains, rules and sets of our table, without the members of
// sets.
func (s *socket) readAll() (*held, error) {
	for range readAttempts {
		h, err := s.readTable()
		s.alone = h != nil && h.owner == s.pid
		if err == nil && h.exists {
			err = errors.Join(s.readChains(h), s.readSets(h))
			for name := range h.chains {
				err = errors.Join(err, s.readRules(h, name))
			}
		}
		if !errors.Is(err, errInterrupted) {
			return h, err
		}
	}
	return nil, errInterrupted
}

// readAttempts is how often to read again when others write meanwhile.
const readAttempts = 5

// readAllMembers is readAll with the elements of sets about interfaces.
func (s *socket) readAllMembers() (*held, error) {
	h, err := s.readAll()
	if err != nil {
		return nil, err
	}
	for name, set := range h.sets {
		if !set.typ.aboutInterfaces() {
			continue
		}
		set.elements = map[string]verdict{}
		err := s.readElements(name, func(key []byte, v verdict) { set.elements[string(key)] = v })
		if err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (s *socket) readChains(h *held) error {
	err := s.dump(dumpRequest(unix.NFT_MSG_GETCHAIN, nil), func(m message) error {
		if !m.is(unix.NFT_MSG_NEWCHAIN) || !m.isOurs() {
			return nil
		}
		var name string
		c := &heldChain{}
		for typ, value := range m.attributes() {
			switch typ {
			case unix.NFTA_CHAIN_NAME:
				name = cString(value)
			case unix.NFTA_CHAIN_HOOK:
				c.base = readHook(c.base, value)
			case unix.NFTA_CHAIN_TYPE:
				if c.base == nil {
					c.base = &hook{}
				}
				c.base.typ = cString(value)
			}
		}
		h.chains[name] = c
		return nil
	})
	if err != nil {
		return fmt.Errorf("read chains: %w", err)
	}
	return nil
}

func readHook(h *hook, b []byte) *hook {
	if h == nil {
		h = &hook{}
	}
	for typ, value := range attributes(b) {
		switch {
		case typ == unix.NFTA_HOOK_HOOKNUM && len(value) == 4:
			h.number = binary.BigEndian.Uint32(value)
		case typ == unix.NFTA_HOOK_PRIORITY && len(value) == 4:
			h.priority = int32(binary.BigEndian.Uint32(value))
		}
	}
	return h
}

// readRules reads the rules of a chain. The kernel begins at its first rule
// again for every part of an answer, so that all at once would take the square
// of their number.
func (s *socket) readRules(h *held, chain string) error {
	request := dumpRequest(unix.NFT_MSG_GETRULE, func(w *builder) { w.text(unix.NFTA_RULE_CHAIN, chain) })
	c := h.chains[chain]
	c.rules = nil
	err := s.dump(request, func(m message) error {
		if !m.is(unix.NFT_MSG_NEWRULE) || !m.isOurs() {
			return nil
		}
		var r heldRule
		for typ, value := range m.attributes() {
			switch {
			case typ == unix.NFTA_RULE_HANDLE && len(value) == 8:
				r.handle = binary.BigEndian.Uint64(value)
			case typ == unix.NFTA_RULE_USERDATA:
				r.identity, _ = userdata.GetString(value, userdata.TypeComment)
			case typ == unix.NFTA_RULE_EXPRESSIONS:
				r.packets, r.bytes = readCounter(value)
			}
		}
		c.rules = append(c.rules, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read rules of chain %s: %w", chain, err)
	}
	return nil
}

// readCounter finds the counter among the expressions of a rule.
func readCounter(b []byte) (packets, bytes uint64) {
	for _, expression := range attributes(b) {
		name := ""
		for typ, value := range attributes(expression) {
			switch {
			case typ == unix.NFTA_EXPR_NAME:
				name = cString(value)
			case typ == unix.NFTA_EXPR_DATA && name == "counter":
				for typ, value := range attributes(value) {
					switch {
					case typ == unix.NFTA_COUNTER_PACKETS && len(value) == 8:
						packets = binary.BigEndian.Uint64(value)
					case typ == unix.NFTA_COUNTER_BYTES && len(value) == 8:
						bytes = binary.BigEndian.Uint64(value)
					}
				}
				return packets, bytes
			}
		}
	}
	return 0, 0
}

// readSets reads which named sets there are; anonymous ones are their rules'.
func (s *socket) readSets(h *held) error {
	err := s.dump(dumpRequest(unix.NFT_MSG_GETSET, nil), func(m message) error {
		if !m.is(unix.NFT_MSG_NEWSET) || !m.isOurs() {
			return nil
		}
		var name string
		var t setType
		for typ, value := range m.attributes() {
			switch {
			case typ == unix.NFTA_SET_NAME:
				name = cString(value)
			case typ == unix.NFTA_SET_FLAGS && len(value) == 4:
				t.flags = binary.BigEndian.Uint32(value)
			case typ == unix.NFTA_SET_KEY_TYPE && len(value) == 4:
				t.datatype = binary.BigEndian.Uint32(value)
			case typ == unix.NFTA_SET_KEY_LEN && len(value) == 4:
				t.length = int(binary.BigEndian.Uint32(value))
			case typ == unix.NFTA_SET_DATA_TYPE && len(value) == 4:
				t.verdicts = binary.BigEndian.Uint32(value) == verdictData
			}
		}
		if t.flags&unix.NFT_SET_ANONYMOUS == 0 {
			h.sets[name] = &heldSet{typ: t}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read sets: %w", err)
	}
	return nil
}

// sameKind tells whether a set that was read is of type t.
func (t setType) sameKind(read setType) bool {
	return t.datatype == read.datatype && t.length == read.length && t.flags == read.flags &&
		t.verdicts == read.verdicts
}

// readElements calls each for every element of a set. The key is valid until
// it returns.
func (s *socket) readElements(set string, each func(key []byte, v verdict)) error {
	request := dumpRequest(unix.NFT_MSG_GETSETELEM, func(w *builder) {
		w.text(unix.NFTA_SET_ELEM_LIST_SET, set)
	})
	err := s.dump(request, func(m message) error {
		if !m.is(unix.NFT_MSG_NEWSETELEM) {
			return nil
		}
		for typ, list := range m.attributes() {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			for _, e := range attributes(list) {
				each(readElement(e))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read elements of set %s: %w", set, err)
	}
	return nil
}

func readElement(b []byte) (key []byte, v verdict) {
	for typ, value := range attributes(b) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			for _, data := range attributes(value) {
				key = data
			}
		case unix.NFTA_SET_ELEM_DATA:
			for typ, data := range attributes(value) {
				if typ == unix.NFTA_DATA_VERDICT {
					v = readVerdict(data)
				}
			}
		}
	}
	return key, v
}

func readVerdict(b []byte) verdict {
	var v verdict
	for typ, value := range attributes(b) {
		switch {
		case typ == unix.NFTA_VERDICT_CODE && len(value) == 4:
			v.kind = int(int32(binary.BigEndian.Uint32(value)))
		case typ == unix.NFTA_VERDICT_CHAIN:
			v.chain = cString(value)
		}
	}
	return v
}
