package iptables

import (
	"maps"
	"slices"
	"strings"
)

// leafSize is how many interfaces one chain asks for, one after the other: few
// enough to be fast, enough that trees are flat.
const leafSize = 8

// tree renders a tree of chains that finds an interface by its name, a few
// letters at a time. Each name leads to a target; others come back. Its shape
// depends on nothing but the names, so that a name that comes or goes changes
// little of it.
func tree(root string, d device, targets map[string]string) []*chain {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(targets)), func(n string) bool { return !canMatch(n) })
	t := treeWriter{root: root, device: d, targets: targets}
	t.node(root, names, 0)
	return t.chains
}

type treeWriter struct {
	root    string
	device  device
	targets map[string]string
	chains  []*chain
}

// node renders the chain for names that agree in their first letters.
func (t *treeWriter) node(chainName string, names []string, letters int) {
	c := newChain(chainName)
	t.chains = append(t.chains, c)
	if len(names) <= leafSize {
		for _, name := range names {
			c.add(t.device.is(name), t.targets[name])
		}
		return
	}
	for len(names) > 0 {
		if len(names[0]) == letters {
			c.add(t.device.is(names[0]), t.targets[names[0]])
			names = names[1:]
			continue
		}
		n := 1
		for n < len(names) && names[n][letters] == names[0][letters] {
			n++
		}
		t.branch(c, names[:n])
		names = names[n:]
	}
}

// branch renders what leads to names that have the next letter in common.
func (t *treeWriter) branch(c *chain, names []string) {
	if len(names) == 1 {
		c.add(t.device.is(names[0]), t.targets[names[0]])
		return
	}
	prefix := common(names[0], names[len(names)-1])
	child := t.root + "-" + escape(prefix)
	c.add(t.device.begins(prefix), "-g "+child)
	t.node(child, names, len(prefix))
}

// common is the beginning that two names share: of sorted names, the first and
// the last have what all have.
func common(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// escape makes a part of a chain's name of a part of an interface's.
func escape(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return -1
	}, name)
	if plain == name && len(name) <= 15 {
		return name
	}
	return "_" + hash(name, 13)
}
