package iptables

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"strings"
)

// A rule is a line of a chain. Equal text is equal effect.
type rule struct {
	match  string // what must hold; empty: nothing
	target string // what happens; empty: the packet is counted
	// index is the place of the policy's rule that this one counts for, or
	// negative; note says to people which policy that is.
	index int
	note  string
}

// newRule makes a rule that counts for none.
func newRule(match, target string) rule { return rule{match: match, target: target, index: -1} }

func (r rule) spec() string {
	if r.match == "" {
		return r.target
	}
	if r.target == "" {
		return r.match
	}
	return r.match + " " + r.target
}

// A chain is a list of rules.
type chain struct {
	name  string
	rules []rule
}

func newChain(name string, rules ...rule) *chain { return &chain{name: name, rules: rules} }

func (c *chain) add(match, target string) { c.rules = append(c.rules, newRule(match, target)) }

// Every rule of ours has a comment: this, a hash of it, and what it counts for.
const (
	commentPrefix = "vr:"
	hashLetters   = 16
)

// comment says of a rule what it is, so that equal comments are equal rules.
func (r rule) comment() string {
	out := commentPrefix + hash(r.spec(), hashLetters)
	if r.index >= 0 {
		out += " " + strconv.Itoa(r.index) + " " + r.note
	}
	return out
}

// A print is short for a comment.
type print uint64

func printOf(comment string) print {
	sum := sha256.Sum256([]byte(comment))
	return print(binary.NativeEndian.Uint64(sum[:]))
}

// prints are those of the chain's rules, in order: equal prints are equal
// chains.
func (c *chain) prints() []print {
	out := make([]print, len(c.rules))
	for i, r := range c.rules {
		out[i] = printOf(r.comment())
	}
	return out
}

// indexOf reads back from a comment which rule it counts for; negative: none.
func indexOf(comment string) int {
	if words := strings.Fields(comment); len(words) == 3 {
		if i, err := strconv.Atoi(words[1]); err == nil && i >= 0 {
			return i
		}
	}
	return -1
}

// write appends what makes the chain anew in the language of iptables-restore.
func (c *chain) write(b *strings.Builder) {
	for i := range c.rules {
		c.writeRule(b, "-A", 0, i)
	}
}

// writeRule appends a command with rule i, at a position if the command has one.
func (c *chain) writeRule(b *strings.Builder, command string, position, i int) {
	r := c.rules[i]
	b.WriteString(command + " " + c.name + " ")
	if position > 0 {
		b.WriteString(strconv.Itoa(position) + " ")
	}
	b.WriteString("-m comment --comment " + quote(r.comment()) + " " + r.spec() + "\n")
}

// quote writes a word for iptables-restore.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\"'\\") {
		return s
	}
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}

// letters are those of names: no case, no sign that iptables would read
// otherwise.
var letters = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// hash is the first n letters of a hash of s, five bits each.
func hash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return letters.EncodeToString(sum[:])[:n]
}
