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

// tables is those we use.
func tables() []table { return []table{filterTable, natTable, mangleTable, rawTable} }

// order is that in which tables are changed. The filter table knows by a mark
// what the early ones have let in: it does before there is any, and for as long
// as there may be.
func (s *state) order() []table {
	all := tables()
	if !s.hasEarly() {
		slices.Reverse(all)
	}
	return all
}

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
