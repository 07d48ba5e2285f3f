package iptables

import "slices"

// A table is one of the kernel's tables.
type table string

const (
	filterTable table = "filter"
	rawTable    table = "raw"
	mangleTable table = "mangle"
	natTable    table = "nat"
)

// tables is those we use, in the order in which they are changed: packets are
// let in last.
func tables() []table { return []table{filterTable, natTable, mangleTable, rawTable} }

// hooks are the kernel's chains of a table that we jump from.
func (t table) hooks() []string {
	switch t {
	case filterTable:
		return []string{"INPUT", "FORWARD", "OUTPUT"}
	case rawTable:
		return []string{"PREROUTING", "OUTPUT"}
	case mangleTable:
		return []string{"PREROUTING"}
	}
	return []string{"POSTROUTING"}
}

func (t table) isHook(chain string) bool { return slices.Contains(t.hooks(), chain) }

// hookChain is our chain that one of the kernel's jumps to.
func hookChain(hook string) string { return chainPrefix + hook }

// place is a table of a family.
type place struct {
	family *family
	table  table
}

func places() []place {
	var out []place
	for _, f := range families() {
		for _, t := range tables() {
			out = append(out, place{f, t})
		}
	}
	return out
}
