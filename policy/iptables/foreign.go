package iptables

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// AcceptComment marks the rules that Foreign puts among those of others.
const AcceptComment = "vrouter: policy let this through"

// Foreign has the FORWARD chains of others accept what is from and to
// workloads: it is behind policy there, whose rules come before. It works in
// both flavours and families, and needs no iptables to be there.
type Foreign struct{ netns namespace }

// NewForeign is of a network namespace; nil: that of the process.
func NewForeign(netns *int) Foreign { return Foreign{NewRemains(netns).netns} }

// Accept makes the rules those of workloads whose interfaces have a name with
// one of these prefixes; none: our rules go. A chain in which nothing of others
// is, and that drops nothing, is left alone. With what is there nothing is
// written.
func (f Foreign) Accept(ctx context.Context, prefixes []string) error {
	var errs []error
	for _, flavour := range []Flavour{NFT, Legacy} {
		t, err := newTools(flavour, f.netns)
		if err != nil {
			continue // not installed: nobody writes rules with it either
		}
		for _, family := range t.families {
			data, err := t.save(ctx, family, "-t", "filter")
			if err != nil {
				errs = append(errs, err)
				continue
			}
			x := transaction{place: place{family, filterTable}, text: acceptText(data, prefixes)}
			errs = append(errs, t.restore(ctx, x))
		}
	}
	return errors.Join(errs...)
}

// acceptText is what iptables-restore is told; empty: all is as it should be.
// Ours stand directly behind the jump to policy, at the top where that has
// none in this flavour.
func acceptText(data []byte, prefixes []string) string {
	const chain = "FORWARD"
	var old, wanted []string // specs of our rules
	at, first, others, drops := 0, 0, 0, strings.Contains(string(data), "\n:"+chain+" DROP ")
	n := 0
	eachLine(data, func(table, string) {}, func(t table, r saved) {
		if t != filterTable || r.chain != chain {
			return
		}
		n++
		switch {
		case r.comment == AcceptComment:
			if len(old) == 0 {
				first = n
			}
			old = append(old, r.spec)
		case strings.HasPrefix(targetOf(r.spec), chainPrefix):
			at = n - len(old)
		default:
			others++
		}
	})
	if others > 0 || drops {
		for _, p := range prefixes {
			for _, side := range []string{"-i ", "-o "} {
				wanted = append(wanted, side+p+`+ -m comment --comment "`+AcceptComment+`" -j ACCEPT`)
			}
		}
	}
	if slices.Equal(old, wanted) && (len(old) == 0 || first == at+1) {
		return ""
	}
	var b strings.Builder
	b.WriteString("*filter\n")
	for _, spec := range old {
		b.WriteString("-D " + chain + " " + spec + "\n")
	}
	for i, spec := range wanted {
		b.WriteString("-I " + chain + " " + strconv.Itoa(at+i+1) + " " + spec + "\n")
	}
	b.WriteString("COMMIT\n")
	return b.String()
}
