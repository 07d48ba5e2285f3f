package nftables

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// tableName is the name of our table, of family inet. Nothing outside it is
// ever touched.
const tableName = "vrouter"

// A clause is a part of a rule: what it says in the language of nft, and the
// expressions that the kernel runs.
type clause struct {
	text  string
	exprs []expr.Any
	raw   []byte // one more, encoded: what the library cannot say
	// anon is the anonymous set that the last expression, a lookup, is of.
	anon *anonymous
}

// An anonymous set lives and dies with its rule.
type anonymous struct {
	typ      setType
	elements []element
}

// A rule is a line of a chain. Equal text is equal effect, so that text, as a
// hash in the rule's comment, tells a later process what it finds.
type rule struct {
	clauses []clause
	// index is the place of the policy's rule that this one counts for, or
	// negative.
	index int
}

// newRule makes a rule that counts for none.
func newRule(clauses ...clause) rule { return rule{clauses: clauses, index: -1} }

// String is the rule in the language of nft.
func (r rule) String() string {
	texts := make([]string, 0, len(r.clauses))
	for _, c := range r.clauses {
		if c.text != "" {
			texts = append(texts, c.text)
		}
	}
	return strings.Join(texts, " ")
}

// identity is the comment by which the rule is known again: the index it
// counts for, and a hash of its text.
func (r rule) identity() string {
	id := hash(r.String(), 16)
	if r.index >= 0 {
		return strconv.Itoa(r.index) + " " + id
	}
	return id
}

// indexOf reads the index back from an identity; negative for none.
func indexOf(identity string) int {
	if number, _, found := strings.Cut(identity, " "); found {
		if i, err := strconv.Atoi(number); err == nil && i >= 0 {
			return i
		}
	}
	return -1
}

// comment is an identity as nft writes and shows it.
func comment(identity string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, identity)
}

// A chain is a list of rules; with a hook, the kernel begins there.
type chain struct {
	name  string
	base  *hook
	rules []rule
}

// A hook says where the kernel calls a base chain.
type hook struct {
	typ      string // filter or nat
	name     string
	number   uint32
	priority int32
}

// String is the chain in the language of nft.
func (c *chain) String() string {
	var b strings.Builder
	b.WriteString("chain " + c.name + " {\n")
	if c.base != nil {
		b.WriteString("\ttype " + c.base.typ + " hook " + c.base.name + " priority " +
			strconv.Itoa(int(c.base.priority)) + "; policy accept;\n")
	}
	for _, r := range c.rules {
		b.WriteString("\t" + r.String() + "\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// letters are those of names: no case, no sign that nft would read otherwise.
var letters = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// hash is the first n letters of a hash of s, five bits each.
func hash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return letters.EncodeToString(sum[:])[:n]
}
