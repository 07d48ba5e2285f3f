package nftables

import (
	"fmt"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// shardmate is the ID of another set whose members are beside those of id.
func shardmate(id policy.SetID) policy.SetID {
	for n := 0; ; n++ {
		other := policy.SetID(fmt.Sprint("other", n))
		if numberOf(other)[0]%shards == numberOf(id)[0]%shards {
			return other
		}
	}
}

// TestLargeSets has a read-back come where a set is believed to be what was
// written: what changed since must be written all the same, and what a set left
// that is gone must not be in it when it comes again.
func TestLargeSets(t *testing.T) {
	testenv.Need(t, "program:nft")
	s := newSite(t, 0)
	s.plane.readOnce = 4
	many := nets("10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24")
	mate := shardmate("web")
	state := func(members, others []policy.Member) *policy.Update {
		u := baseUpdate(0)
		withSet("web", policy.Networks, members...)(u)
		if others != nil {
			withSet(mate, policy.Networks, others...)(u)
		}
		return u
	}
	holds := func(what string, want ...string) {
		t.Helper()
		list := ""
		for _, bits := range []int{32, 24} {
			list += s.host.MustRun("nft", "list", "set", "inet", tableName, setOf(numberOf("web"), policy.Networks, ipv4, bits).name())
			list = strings.ReplaceAll(list, ",", " ")
		}
		for _, w := range want {
			addr, not := strings.CutPrefix(w, "!")
			if strings.Contains(list, addr) == not {
				t.Errorf("%s: want %s in\n%s", what, w, list)
			}
		}
	}
	u := state(many, nets("10.9.0.1/32", "10.9.1.0/24"))
	s.sync(t, u)
	changed := append(nets("10.0.0.5/32"), many[1:]...)
	u = state(changed, nets("10.9.0.1/32", "10.9.1.0/24"))
	s.sync(t, u)
	holds("a member exchanged", "10.0.0.5 ", "!10.0.0.1 ", "10.0.0.2 ")

	next := state(changed, nil)
	s.apply(t, between(u, next))
	again := state(changed, nets("10.9.0.2/32"))
	s.apply(t, between(next, again))
	holds("a set that came again", "10.9.0.2", "!10.9.0.1", "!10.9.1.0")

	s.apply(t, between(again, next))
	s.sync(t, next)
	holds("a set that is gone, after a read-back", "!10.9.0.2", "10.0.0.5 ")
	again = state(changed, nets("10.9.0.3/32"))
	s.apply(t, between(next, again))
	s.sync(t, again)
	holds("the same set anew", "10.9.0.3", "!10.9.0.2")
}
