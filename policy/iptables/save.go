package iptables

import (
	"bytes"
	"strings"
)

// held is what a table of the kernel holds, as far as it matters to us.
type held struct {
	chains map[string][]print // ours, with those of their rules
	jumps  map[string]jumps   // from the kernel's chains to ours
	others int                // rules that are not ours
}

// jumps are those of ours in one chain of the kernel's.
type jumps struct {
	specs []string // as they were saved
	first bool     // one of them is at the top
}

func newHeld() *held { return &held{chains: map[string][]print{}, jumps: map[string]jumps{}} }

// saved is a line of iptables-save that is a rule.
type saved struct {
	chain, spec, comment string
	packets, bytes       uint64
}

// parseSave reads what iptables-save says of all tables of a family. Tables that
// are not mentioned hold nothing.
func parseSave(data []byte) map[table]*held {
	all := map[table]*held{}
	for _, t := range tables() {
		all[t] = newHeld()
	}
	position := map[string]int{}
	eachLine(data, func(t table, name string) {
		if h := all[t]; h != nil && strings.HasPrefix(name, chainPrefix) {
			h.chains[name] = nil
		}
	}, func(t table, r saved) {
		h := all[t]
		if h == nil {
			return // a table that we do not use
		}
		if prints, ours := h.chains[r.chain]; ours {
			h.chains[r.chain] = append(prints, printOf(r.comment))
			return
		}
		position[string(t)+r.chain]++
		if !strings.HasPrefix(targetOf(r.spec), chainPrefix) {
			h.others++
			return
		}
		j := h.jumps[r.chain]
		j.first = j.first || position[string(t)+r.chain] == 1
		j.specs = append(j.specs, r.spec)
		h.jumps[r.chain] = j
	})
	return all
}

// eachLine calls for every chain and every rule of a save.
func eachLine(data []byte, chain func(t table, name string), rule func(table, saved)) {
	var t table
	for line := range bytes.Lines(data) {
		text := strings.TrimSuffix(string(line), "\n")
		if name, ok := strings.CutPrefix(text, "*"); ok {
			t = table(name)
			continue
		}
		if name, ok := strings.CutPrefix(text, ":"); ok {
			name, _, _ = strings.Cut(name, " ")
			chain(t, name)
			continue
		}
		if r, ok := parseRule(text); ok {
			rule(t, r)
		}
	}
}

func parseRule(text string) (r saved, ok bool) {
	if counts, rest, found := strings.Cut(text, "] "); found && strings.HasPrefix(counts, "[") {
		r.packets, r.bytes = parseCounts(counts[1:])
		text = rest
	}
	text, ok = strings.CutPrefix(text, "-A ")
	if !ok {
		return r, false
	}
	r.chain, r.spec, _ = strings.Cut(text, " ")
	r.comment = commentOf(r.spec)
	return r, true
}

func parseCounts(s string) (packets, bytes uint64) {
	p, b, _ := strings.Cut(s, ":")
	return parseUint(p), parseUint(b)
}

func parseUint(s string) uint64 {
	var n uint64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return n
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// commentOf is the first comment of a rule; ours have no quotes inside.
func commentOf(spec string) string {
	_, rest, found := strings.Cut(spec, "--comment ")
	if !found {
		return ""
	}
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		comment, _, _ := strings.Cut(quoted, `"`)
		return comment
	}
	comment, _, _ := strings.Cut(rest, " ")
	return comment
}

// targetOf is the target of a rule.
func targetOf(spec string) string {
	words := strings.Fields(withoutQuotes(spec))
	for i := len(words) - 2; i >= 0; i-- {
		if words[i] == "-j" || words[i] == "-g" {
			return words[i+1]
		}
	}
	return ""
}

// withoutQuotes leaves out what anybody may have written: comments, prefixes.
func withoutQuotes(spec string) string {
	var b strings.Builder
	inside := false
	for i := 0; i < len(spec); i++ {
		switch c := spec[i]; {
		case c == '\\' && inside:
			i++
		case c == '"':
			inside = !inside
			b.WriteByte('_')
		case !inside:
			b.WriteByte(c)
		}
	}
	return b.String()
}
