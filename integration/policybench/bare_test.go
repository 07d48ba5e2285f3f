package policybench

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/policy/iptables"
)

// heap is what this process holds.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// bareChain is a chain of a dataplane, as its flavour's restore takes it: what a
// change of one rule costs at the least, in a table of the same size.
type bareChain struct {
	host  *lab.Host
	argv  []string
	input string
}

// newBareChain takes the chain from the host's own table.
func newBareChain(t testing.TB, h *lab.Host, flavour iptables.Flavour) *bareChain {
	t.Helper()
	program := "iptables-" + string(flavour)
	var out bytes.Buffer
	err := h.Do(func() error {
		cmd := exec.Command(program+"-save", "-t", "filter")
		cmd.Stdout = &out
		return cmd.Run()
	})
	if err != nil {
		t.Fatalf("%s-save: %v", program, err)
	}
	chain, rules := "", strings.Builder{}
	for line := range strings.Lines(out.String()) {
		name, isRule := strings.CutPrefix(line, "-A ")
		name, _, _ = strings.Cut(name, " ")
		if chain == "" && isRule && strings.Contains(line, fmt.Sprintf(" %d ", changedPort)) {
			chain = name
		}
	}
	for line := range strings.Lines(out.String()) {
		if chain != "" && strings.HasPrefix(line, "-A "+chain+" ") {
			rules.WriteString(line)
		}
	}
	if chain == "" {
		t.Fatalf("%s: %v", program, errNoChain)
	}
	return &bareChain{host: h, argv: []string{program + "-restore", "--noflush", "-w"},
		input: fmt.Sprintf("*filter\n:%s - [0:0]\n%sCOMMIT\n", chain, rules.String())}
}

func (b *bareChain) measure(row, col string, r *rounds) error {
	begun := time.Now()
	if err := fed(b.host, b.input, b.argv...); err != nil {
		return err
	}
	r.add(row, col, ms(time.Since(begun)))
	return nil
}

// script is a table of the same policies in the language of nft, changed by nft
// -f: a chain for each policy, a set for each that they ask.
type script struct {
	host   *lab.Host
	change map[string]string // by name of the change
}

func newScript(t testing.TB, l *lab.Lab, c *cluster) *script {
	t.Helper()
	u, err := c.update()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	sets := map[string]string{}
	b.WriteString("table inet script {\n")
	for n, id := range slices.Sorted(maps.Keys(u.Sets)) {
		sets[string(id)] = fmt.Sprintf("s%d", n)
		var members []string
		for _, m := range u.Sets[id].Add {
			members = append(members, m.Prefix.Addr().String())
		}
		elements := ""
		if len(members) > 0 {
			elements = "elements = { " + strings.Join(members, ", ") + " }"
		}
		fmt.Fprintf(&b, " set s%d {\n  type ipv4_addr\n  %s\n }\n", n, elements)
	}
	chains, changed, large := 0, "", ""
	for _, p := range u.Policies {
		if len(p.Ingress) == 0 {
			continue
		}
		var rules strings.Builder
		chain := fmt.Sprintf("p%d", chains)
		chains++
		for _, r := range p.Ingress {
			match := ""
			for _, id := range r.Source.Sets {
				match += " ip saddr @" + sets[string(id)]
				if len(u.Sets[id].Add) >= c.members {
					large = sets[string(id)]
				}
			}
			for _, port := range r.Destination.Ports {
				match += " tcp dport " + strings.Replace(port.String(), ":", "-", 1)
			}
			fmt.Fprintf(&rules, "add rule inet script %s%s accept\n", chain, match)
		}
		fmt.Fprintf(&b, " chain %s {\n%s }\n", chain, strings.ReplaceAll(rules.String(), "add rule inet script "+chain, " "))
		if p.ID.Name == fmt.Sprintf("policy-%05d", changedOne) {
			changed = "flush chain inet script " + chain + "\n" + rules.String()
		}
	}
	b.WriteString(" map to {\n  type ifname : verdict\n }\n")
	b.WriteString(" chain f {\n  type filter hook forward priority 0;\n  oifname vmap @to\n }\n}\n")
	for i := range chains {
		fmt.Fprintf(&b, "add element inet script to { \"cali%d\" : goto p%d }\n", i, i)
	}
	s := &script{host: l.Host("script"), change: map[string]string{
		"rule":     changed,
		"member":   fmt.Sprintf("add element inet script %s { 172.16.0.1 }\n", large),
		"endpoint": "add element inet script to { \"calinew\" : goto p1 }\n",
	}}
	feed(t, s.host, b.String(), "nft", "-f", "-")
	return s
}

func (s *script) measure(name string, r *rounds) error {
	begun := time.Now()
	if err := fed(s.host, s.change[name], "nft", "-f", "-"); err != nil {
		return err
	}
	r.add("nft -f", name, ms(time.Since(begun)))
	if undo, is := strings.CutPrefix(s.change[name], "add element"); is {
		undo, _, _ = strings.Cut(undo, ":")
		return fed(s.host, "delete element"+strings.TrimRight(undo, " }\n")+" }\n", "nft", "-f", "-")
	}
	return nil
}
