package wire

import (
	"fmt"
	"math/bits"
	"strings"
)

// Action is what RFC 7606 §2 makes of an UPDATE, the weakest first. Its "AFI/SAFI
// disable" is not used: a session that goes on without a family is a fault that
// nobody sees.
type Action uint8

// The actions.
const (
	// OK: nothing is wrong.
	OK Action = iota
	// AttributeDiscard: some attributes are dropped, the rest holds.
	AttributeDiscard
	// TreatAsWithdraw: all prefixes announced are withdrawn instead.
	TreatAsWithdraw
	// SessionReset: nothing can be trusted. The session ends with the
	// Notification of the verdict.
	SessionReset
)

// String is the name of the action in RFC 7606.
func (a Action) String() string {
	switch a {
	case OK:
		return "ok"
	case AttributeDiscard:
		return "attribute discard"
	case TreatAsWithdraw:
		return "treat-as-withdraw"
	case SessionReset:
		return "session reset"
	}
	return "unknown"
}

// Verdict says what is to be made of an UPDATE and why. Of several errors the
// first of the strongest action counts (RFC 7606 §3 h).
type Verdict struct {
	Action    Action
	Attribute AttributeType // at fault; zero: none, but the message
	Why       string        // a constant; empty if OK

	// Discarded has the attributes that were dropped for an error, or dropped
	// again, whatever the action.
	Discarded AttributeTypes
	// Bug is a panic of our own code with its stack, to be logged; the
	// action is a SessionReset then.
	Bug error

	subcode Subcode
	data    []byte // in the message
}

// Notification is what the session is to end with at a SessionReset. It holds
// a copy of what it is about.
func (v Verdict) Notification() *Notification {
	return &Notification{Code: UpdateError, Subcode: v.subcode, Data: append([]byte(nil), v.data...)}
}

// String is the action and why, for logs.
func (v Verdict) String() string {
	switch {
	case v.Action == OK:
		return v.Action.String()
	case v.Attribute == 0:
		return fmt.Sprintf("%s: %s", v.Action, v.Why)
	}
	return fmt.Sprintf("%s: %s: %s", v.Action, v.Attribute, v.Why)
}

// worse makes v the fault f if that is stronger.
func (v *Verdict) worse(f fault, t AttributeType, data []byte) {
	if f.action == AttributeDiscard {
		v.Discarded.add(t)
	}
	if f.action > v.Action {
		v.Action, v.Attribute, v.Why, v.subcode, v.data = f.action, t, f.why, f.subcode, data
	}
}

// fault is one error. The zero value is none.
type fault struct {
	action  Action
	subcode Subcode // with which a reset would end the session
	why     string
}

// AttributeTypes is a set of attribute types.
type AttributeTypes [4]uint64

// Has reports whether t is in s.
func (s *AttributeTypes) Has(t AttributeType) bool { return s[t/64]&(1<<(t%64)) != 0 }

func (s *AttributeTypes) add(t AttributeType) { s[t/64] |= 1 << (t % 64) }

// All is the types of s in ascending order.
func (s *AttributeTypes) All() []AttributeType {
	var all []AttributeType
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			all = append(all, AttributeType(i*64+bits.TrailingZeros64(word)))
		}
	}
	return all
}

// String is the names of the types.
func (s AttributeTypes) String() string {
	var names []string
	for _, t := range s.All() {
		names = append(names, t.String())
	}
	return strings.Join(names, ",")
}
