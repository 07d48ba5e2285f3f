package nftables

import (
	"fmt"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// Names of chains and sets. None is a word of nft's language, and people can
// tell what each is for.

// policyChain is the chain of a policy's rules in one direction.
func policyChain(id resource.ID, d policy.Direction) string {
	text := id.String()
	return directionPrefix(d) + plain(text, 60) + "-" + hash(text, 13)
}

func directionPrefix(d policy.Direction) string {
	if d == policy.Ingress {
		return "pi-"
	}
	return "po-"
}

// logChain is the chain of a rule that goes on after its match.
func logChain(policyChain string, index int) string {
	return fmt.Sprintf("%s-log%d", policyChain, index)
}

// apartChain is a chain of a rule that is rendered apart, and of a part of it.
func apartChain(before string, index int) string {
	return fmt.Sprintf("%s-rule%d", before, index)
}

// pipelineChain decides, tierChain is a part of it that can be left early.
func pipelineChain(id string) string          { return "pl-" + id }
func tierChain(pipeline string, n int) string { return fmt.Sprintf("pl-%s-%d", pipeline, n) }

// spoofChain knows what else may be sent from an interface.
func spoofChain(iface string) string { return "spoof-" + escape(iface) }

// plain keeps of a name what nft reads as one, up to n bytes.
func plain(name string, n int) string {
	if len(name) > n {
		name = name[:n]
	}
	return strings.Map(func(r rune) rune {
		if isPlain(r) {
			return r
		}
		return '_'
	}, name)
}

// escape writes a name so that two different ones stay different.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; isPlain(rune(c)) && c != '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

func isPlain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_'
}
