package iptables

import (
	"maps"
	"slices"
	"strings"
)

// transaction is what iptables-restore is told of one table.
type transaction struct {
	place place
	text  string // empty: nothing changes
	after *held  // what the table holds then
}

// compare makes the transaction that brings a table from what it holds to what
// is planned. With exactly, chains of ours that are not mentioned go, too.
func (h *held) compare(at place, chains map[string]*chain, exactly bool) transaction {
	w := transactionWriter{before: h, after: h.clone()}
	for _, name := range sortedNames(chains) {
		w.chain(name, chains[name])
	}
	if exactly {
		for name := range h.chains {
			if _, said := chains[name]; !said {
				w.chain(name, nil)
			}
		}
		slices.Sort(w.gone)
	}
	for _, hook := range at.table.hooks() {
		w.jump(hook)
	}
	for hook := range h.jumps {
		if !at.table.isHook(hook) {
			w.noJump(hook)
		}
	}
	return transaction{at, w.text(at.table), w.after}
}

type transactionWriter struct {
	before, after        *held
	heads, rules, jumped strings.Builder
	gone                 []string
}

func (w *transactionWriter) chain(name string, c *chain) {
	was, exists := w.before.chains[name]
	if c == nil {
		if exists {
			w.heads.WriteString(":" + name + " - [0:0]\n")
			w.gone = append(w.gone, name)
			delete(w.after.chains, name)
		}
		return
	}
	is := c.prints()
	if exists && slices.Equal(was, is) {
		return
	}
	w.after.chains[name] = is
	if exists && c.edit(&w.rules, was, is) {
		return
	}
	w.heads.WriteString(":" + name + " - [0:0]\n")
	c.write(&w.rules)
}

// jump makes that the first rule of a kernel's chain is our one jump, where we
// have a chain for it.
func (w *transactionWriter) jump(hook string) {
	name := hookChain(hook)
	if _, ours := w.after.chains[name]; !ours {
		w.noJump(hook)
		return
	}
	comment := newRule("", "-j "+name).comment()
	held := w.before.jumps[hook]
	if len(held.specs) == 1 && held.first && commentOf(held.specs[0]) == comment && targetOf(held.specs[0]) == name {
		return
	}
	w.noJump(hook)
	spec := "-m comment --comment " + quote(comment) + " -j " + name
	w.jumped.WriteString("-I " + hook + " 1 " + spec + "\n")
	w.after.jumps[hook] = jumps{specs: []string{spec}, first: true}
}

// noJump takes jumps out by what they say: others may move them meanwhile.
func (w *transactionWriter) noJump(hook string) {
	for _, spec := range w.before.jumps[hook].specs {
		w.jumped.WriteString("-D " + hook + " " + spec + "\n")
	}
	delete(w.after.jumps, hook)
}

func (w *transactionWriter) text(t table) string {
	if w.heads.Len()+w.rules.Len()+w.jumped.Len() == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("*" + string(t) + "\n" + w.heads.String() + w.rules.String() + w.jumped.String())
	for _, name := range w.gone {
		b.WriteString("-X " + name + "\n")
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

func (h *held) clone() *held {
	return &held{chains: maps.Clone(h.chains), jumps: maps.Clone(h.jumps), others: h.others}
}
