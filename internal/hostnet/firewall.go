package hostnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// firewallTime bounds each program that lists rules. Listing 100,000 takes a
// few seconds.
const firewallTime = 15 * time.Second

// ForwardDrops names the places where a firewall of others drops what is
// forwarded, and no rule before accepts what workloads send and receive.
func ForwardDrops(ctx context.Context) ([]string, error) { return forwardDrops(ctx) }

// accepted begins the comment of the rules that accept what is from and to
// workloads, which then no drop behind them concerns.
const accepted = `"vrouter: `

// forwardDrops names the places where the host's firewall drops what is
// forwarded and not accepted before. It sees policies of chains and rules at
// their ends that match everything; a drop behind a condition is not seen.
// The legacy tables are listed only where they are in use, since listing them
// creates them.
func forwardDrops(ctx context.Context) ([]string, error) {
	drops, err := nftablesDrops(ctx)
	problems := []error{err}
	for _, family := range []string{"ip", "ip6"} {
		names, err := os.ReadFile("/proc/thread-self/net/" + family + "_tables_names")
		if err != nil || !slices.Contains(strings.Fields(string(names)), "filter") {
			continue
		}
		program := family + "tables-legacy"
		if _, err := exec.LookPath(program); err != nil {
			program = family + "tables" // before there were two kinds
		}
		out, err := list(ctx, program, "-S", "FORWARD")
		problems = append(problems, err)
		for _, how := range iptablesDrops(string(out)) {
			drops = append(drops, program+" chain FORWARD ("+how+")")
		}
	}
	return drops, errors.Join(problems...)
}

// withoutAccepted leaves out the chains of iptables-nft in which our rules
// accept what is forwarded: nft does not show what they are.
func withoutAccepted(ctx context.Context, drops []string) []string {
	for family, program := range map[string]string{"ip": "iptables-nft", "ip6": "ip6tables-nft"} {
		at := fmt.Sprintf("nftables table %s filter chain FORWARD ", family)
		if !slices.ContainsFunc(drops, func(d string) bool { return strings.HasPrefix(d, at) }) {
			continue
		}
		rules, err := list(ctx, program, "-S", "FORWARD")
		if err == nil && strings.Contains(string(rules), accepted) {
			drops = slices.DeleteFunc(drops, func(d string) bool { return strings.HasPrefix(d, at) })
		}
	}
	return drops
}

// nftablesDrops lists the rules of nftables, those of iptables-nft among them.
// A kernel that has not loaded nftables has none.
func nftablesDrops(ctx context.Context) ([]string, error) {
	switch loadable, known := loadableModule("nf_tables"); {
	case !known:
		return nil, fmt.Errorf("list nftables: %w", errUnknown)
	case loadable:
		return nil, nil
	}
	if out, err := list(ctx, "nft", "--json", "--terse", "list", "ruleset"); err != nil {
		return nil, err
	} else if out != nil {
		drops, err := nftDrops(out)
		return withoutAccepted(ctx, drops), err
	}
	var drops []string
	for _, program := range []string{"iptables-nft", "ip6tables-nft"} {
		out, err := list(ctx, program, "-S", "FORWARD")
		if err != nil {
			return drops, err
		}
		if out == nil {
			return drops, errors.New("neither nft nor " + program + " is installed")
		}
		for _, how := range iptablesDrops(string(out)) {
			drops = append(drops, program+" chain FORWARD ("+how+")")
		}
	}
	return drops, nil
}

// list runs a program in the calling thread's namespace; nil without an error
// when it is not installed.
func list(ctx context.Context, argv ...string) ([]byte, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, firewallTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, argv[1:]...).Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", strings.Join(argv, " "), err)
	}
	return out, nil
}

// iptablesDrops reads `iptables -S FORWARD`.
func iptablesDrops(rules string) []string {
	if strings.Contains(rules, accepted) {
		return nil
	}
	var drops []string
	for line := range strings.Lines(rules) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[1] != "FORWARD" {
			continue
		}
		switch {
		case fields[0] == "-P" && fields[2] == "DROP":
			drops = append(drops, "policy drop")
		// The target in third place: nothing is matched.
		case fields[0] == "-A" && len(fields) > 3 && fields[2] == "-j" && (fields[3] == "DROP" || fields[3] == "REJECT"):
			drops = append(drops, "rule "+strings.ToLower(fields[3])+" all")
		}
	}
	return drops
}

// nftObject is an element of `nft --json list ruleset`; what is neither chain
// nor rule is of no interest.
type nftObject struct {
	Chain *nftChain `json:"chain"`
	Rule  *nftRule  `json:"rule"`
}

type nftChain struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	Hook   string `json:"hook"`
	Policy string `json:"policy"`
}

type nftRule struct {
	Family string                       `json:"family"`
	Table  string                       `json:"table"`
	Chain  string                       `json:"chain"`
	Expr   []map[string]json.RawMessage `json:"expr"`
}

// ownerOf tells by names whose a table is, for people to read.
func ownerOf(table, chain string) string {
	switch {
	case table == "firewalld":
		return " of firewalld"
	case strings.HasPrefix(chain, "ufw-") || strings.HasPrefix(chain, "ufw6-"):
		return " of ufw"
	case strings.HasPrefix(chain, "DOCKER"):
		return " of Docker"
	}
	return ""
}

// nftDrops reads `nft --json list ruleset`.
func nftDrops(ruleset []byte) ([]string, error) {
	var doc struct {
		Nftables []nftObject `json:"nftables"`
	}
	if err := json.Unmarshal(ruleset, &doc); err != nil {
		return nil, fmt.Errorf("read the rules that nft lists: %w", err)
	}
	place := func(family, table, chain string) string {
		return fmt.Sprintf("nftables table %s %s chain %s", family, table, chain)
	}
	owners := map[string]string{} // by family and table
	for _, o := range doc.Nftables {
		if c := o.Chain; c != nil {
			if owner := ownerOf(c.Table, c.Name); owner != "" {
				owners[c.Family+" "+c.Table] = owner
			}
		}
	}
	var drops []string
	base := map[string]bool{} // chains that see what is forwarded
	for _, o := range doc.Nftables {
		if c := o.Chain; c != nil && c.Type == "filter" && c.Hook == "forward" {
			at := place(c.Family, c.Table, c.Name)
			base[at] = true
			if c.Policy == "drop" {
				drops = append(drops, at+" (policy drop)"+owners[c.Family+" "+c.Table])
			}
		}
	}
	for _, o := range doc.Nftables {
		if r := o.Rule; r != nil {
			at := place(r.Family, r.Table, r.Chain)
			if verdict := dropsAll(r.Expr); base[at] && verdict != "" {
				drops = append(drops, at+" (rule "+verdict+" all)"+owners[r.Family+" "+r.Table])
			}
		}
	}
	return drops, nil
}

// dropsAll is "drop" or "reject" if a rule does that to every packet: nothing
// else in it but what matches nothing.
func dropsAll(expr []map[string]json.RawMessage) string {
	for _, statement := range expr {
		for kind, content := range statement {
			switch kind {
			case "counter", "log", "comment":
			case "drop", "reject":
				return kind
			case "xt": // a target of iptables
				var target struct{ Type, Name string }
				if json.Unmarshal(content, &target) != nil || target.Type != "target" || target.Name != "REJECT" {
					return ""
				}
				return "reject"
			default:
				return ""
			}
		}
	}
	return ""
}
