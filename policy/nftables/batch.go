package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// batch is a transaction in the making: the kernel does all of it or nothing.
// Every message says in words what it does, for the case that it is refused.
type batch struct {
	builder
	first uint32 // sequence number of the header; the messages' follow
	what  []step
	anon  uint32 // number of the last anonymous set
	err   error
}

// A step is one message in words.
type step struct{ verb, noun string }

func (s *socket) newBatch() *batch {
	b := &batch{first: s.seq + 1}
	b.header(unix.NFNL_MSG_BATCH_BEGIN, 0, b.first, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	b.finish()
	return b
}

func (b *batch) isEmpty() bool { return len(b.what) == 0 }

// message starts a message about our table; its other attributes follow.
func (b *batch) message(typ, flags int, verb, noun string) {
	b.what = append(b.what, step{verb, noun})
	b.begin(typ, flags, b.first+uint32(len(b.what)))
	b.text(unix.NFTA_TABLE_NAME, tableName) // the same number in every type of message
}

func (b *batch) addTable(flags uint32) {
	b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "add table", tableName)
	b.uint32(unix.NFTA_TABLE_FLAGS, flags)
	b.finish()
}

func (b *batch) deleteTable() {
	b.message(unix.NFT_MSG_DELTABLE, 0, "delete table", tableName)
	b.finish()
}

// deleteRules deletes the rules of all chains.
func (b *batch) deleteRules() {
	b.message(unix.NFT_MSG_DELRULE, 0, "delete rules of table", tableName)
	b.finish()
}

func (b *batch) addChain(c *chain) {
	b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, "add chain", c.name)
	b.text(unix.NFTA_CHAIN_NAME, c.name)
	if c.base != nil {
		at := b.open(unix.NFTA_CHAIN_HOOK)
		b.uint32(unix.NFTA_HOOK_HOOKNUM, c.base.number)
		b.uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.base.priority))
		b.close(at)
		b.uint32(unix.NFTA_CHAIN_POLICY, nfAccept)
		b.text(unix.NFTA_CHAIN_TYPE, c.base.typ)
	}
	b.finish()
}

// deleteChain deletes a chain with its rules.
func (b *batch) deleteChain(name string) {
	b.message(unix.NFT_MSG_DELCHAIN, 0, "delete chain", name)
	b.text(unix.NFTA_CHAIN_NAME, name)
	b.finish()
}

// flushChain deletes the rules of a chain.
func (b *batch) flushChain(name string) {
	b.message(unix.NFT_MSG_DELRULE, 0, "empty chain", name)
	b.text(unix.NFTA_RULE_CHAIN, name)
	b.finish()
}

// addRule adds a rule at the end of a chain, or before the rule with the
// handle unless that is zero.
func (b *batch) addRule(chain string, r rule, before uint64) {
	identity := r.identity()
	exprs := b.expressions(chain, r)
	flags := unix.NLM_F_CREATE | unix.NLM_F_APPEND
	if before != 0 {
		flags = unix.NLM_F_CREATE
	}
	b.message(unix.NFT_MSG_NEWRULE, flags, "add rule to chain", chain)
	b.text(unix.NFTA_RULE_CHAIN, chain)
	if before != 0 {
		b.uint64(unix.NFTA_RULE_POSITION, before)
	}
	at := b.open(unix.NFTA_RULE_EXPRESSIONS)
	for _, e := range exprs {
		b.bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, e)
	}
	b.close(at)
	b.bytes(unix.NFTA_RULE_USERDATA, comment(identity))
	b.finish()
}

// expressions encodes those of a rule, and adds the anonymous sets they need.
func (b *batch) expressions(chain string, r rule) [][]byte {
	var out [][]byte
	for _, c := range r.clauses {
		for i, e := range c.exprs {
			if c.anon != nil && i == len(c.exprs)-1 {
				b.anon++
				lookup := *e.(*expr.Lookup)
				lookup.SetName, lookup.SetID = "__set%d", b.anon
				e = &lookup
				b.addSet(set{name: lookup.SetName, typ: c.anon.typ}, b.anon)
				b.addElements(lookup.SetName, c.anon.typ, b.anon, c.anon.elements)
			}
			encoded, err := expr.Marshal(unix.NFPROTO_INET, e)
			if err != nil {
				b.err = errors.Join(b.err, fmt.Errorf("encode rule of chain %s: %w", chain, err))
			}
			out = append(out, encoded)
		}
		if c.raw != nil {
			out = append(out, c.raw)
		}
	}
	return out
}

func (b *batch) deleteRule(chain string, handle uint64) {
	b.message(unix.NFT_MSG_DELRULE, 0, "delete rule of chain", chain)
	b.text(unix.NFTA_RULE_CHAIN, chain)
	b.uint64(unix.NFTA_RULE_HANDLE, handle)
	b.finish()
}

// commit sends the transaction. An error names what the kernel refused first;
// then nothing was done.
func (s *socket) commit(b *batch) error {
	if b.err != nil {
		return b.err
	}
	if b.isEmpty() {
		return nil
	}
	// Only the last message asks for an answer: what is refused is answered
	// unasked, and all answers are there when the send returns.
	b.addFlags(unix.NLM_F_ACK)
	last := b.first + uint32(len(b.what))
	b.header(unix.NFNL_MSG_BATCH_END, 0, last+1, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	b.finish()
	s.seq = last + 1
	if err := s.send(b.b); err != nil {
		if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("transaction of %d bytes: %w", len(b.b), policy.ErrTooLarge)
		}
		return err
	}
	return s.answers(b, last)
}

// answers reads what the kernel says of a transaction.
func (s *socket) answers(b *batch, last uint32) error {
	var refused error
	acknowledged := false
	for {
		read, err := s.receive(unix.MSG_DONTWAIT)
		if err != nil {
			return err
		}
		if read == nil {
			break
		}
		for m, err := range messages(read) {
			if err != nil {
				return err
			}
			if m.typ != unix.NLMSG_ERROR || m.seq-b.first > last-b.first {
				continue
			}
			if err := replyError(m); err != nil && refused == nil {
				refused = b.explain(m.seq-b.first, err)
			}
			acknowledged = acknowledged || m.seq == last
		}
	}
	if refused == nil && !acknowledged {
		return errors.New("the kernel did not answer a transaction")
	}
	return refused
}

// explain says what was refused. Number zero is the transaction as a whole.
func (b *batch) explain(n uint32, err error) error {
	if errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.E2BIG) {
		err = fmt.Errorf("%w: %w", policy.ErrTooLarge, err)
	}
	if n == 0 || int(n) > len(b.what) {
		return fmt.Errorf("commit %d changes: %w", len(b.what), err)
	}
	step := b.what[n-1]
	return fmt.Errorf("%s %s: %w", step.verb, step.noun, err)
}

// appendData writes a verdict as the data of an element.
func (b *batch) verdict(v verdict) {
	data := b.open(unix.NFTA_SET_ELEM_DATA)
	at := b.open(unix.NFTA_DATA_VERDICT)
	b.b = native.AppendUint16(b.b, 8)
	b.b = native.AppendUint16(b.b, unix.NFTA_VERDICT_CODE)
	b.b = binary.BigEndian.AppendUint32(b.b, uint32(int32(v.kind)))
	if v.chain != "" {
		b.text(unix.NFTA_VERDICT_CHAIN, v.chain)
	}
	b.close(at)
	b.close(data)
}
