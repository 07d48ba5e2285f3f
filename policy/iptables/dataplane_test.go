package iptables

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// A process that starts takes over what an earlier one wrote.
func TestRestartWritesNothing(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		s.sync(t, update())
		s.requirePings(t, true, "after the first start")
		before := s.save()
		s.start(t, s.plane.Flavour())
		s.sync(t, update())
		if n := s.writes.count(); n != 0 {
			t.Errorf("%d tables were written again", n)
		}
		if strip(s.save()) != strip(before) {
			t.Errorf("before:\n%s\nafter:\n%s", before, s.save())
		}
		s.requirePings(t, true, "after the second start")
	})
}

// strip removes what differs between two listings of the same.
func strip(save string) string {
	var out []string
	for line := range strings.Lines(save) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, ":") {
			line, _, _ = strings.Cut(line, "[")
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

// A member that changes writes to no table.
func TestMembers(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		s.sync(t, update())
		n := s.writes.count()
		change := func(c policy.SetChange) {
			c.Kind = policy.Networks
			s.apply(t, &policy.Update{Sets: map[policy.SetID]*policy.SetChange{"a": &c}})
		}
		one := members("10.65.0.1/32", "fd00:65::1/128")
		change(policy.SetChange{Remove: one})
		s.requirePings(t, false, "without members")
		change(policy.SetChange{Add: members("10.65.0.0/31", "fd00:65::/126")})
		s.requirePings(t, true, "with networks")
		change(policy.SetChange{Add: members("0.0.0.0/0", "128.0.0.0/1", "::/0"), Remove: members("10.65.0.0/31", "fd00:65::/126")})
		s.requirePings(t, true, "with everything")
		change(policy.SetChange{Remove: members("0.0.0.0/0", "::/0")})
		s.requirePings(t, false, "with the other half")
		change(policy.SetChange{Add: one, Remove: members("128.0.0.0/1")})
		s.requirePings(t, true, "at the end")
		if got := s.writes.count(); got != n {
			t.Errorf("%d tables were written", got-n)
		}
		if err := s.plane.Sync(t.Context(), update()); err != nil || s.writes.count() != n {
			t.Errorf("sync: %v, %d tables written", err, s.writes.count()-n)
		}
	})
}

// A set that its room does not hold is made anew, and takes the place of the
// old one in rules.
func TestSetGrows(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		s.plane.min = 64
		s.sync(t, update())
		var more []policy.Member
		for i := range 5000 {
			more = append(more, policy.Member{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)}), 32)})
		}
		s.apply(t, &policy.Update{Sets: map[policy.SetID]*policy.SetChange{"a": {Kind: policy.Networks, Add: more}}})
		s.requirePings(t, true, "with many members")
		got, err := s.plane.sets.members(setName(ipv4, networksLetter, "a"))
		if err != nil || len(got) != 5001 {
			t.Errorf("%d members, want 5001: %v", len(got), err)
		}
		s.apply(t, &policy.Update{Sets: map[policy.SetID]*policy.SetChange{"a": {Kind: policy.Networks, Remove: more}}})
		s.requirePings(t, true, "with few members")
		all := update()
		all.Sets["a"].Add = append(all.Sets["a"].Add, more...)
		s.sync(t, all)
		s.sync(t, update())
		if got, err = s.plane.sets.members(setName(ipv4, networksLetter, "a")); err != nil || len(got) != 1 {
			t.Errorf("%d members, want 1: %v", len(got), err)
		}
	})
}

// A set that was to go, and is asked for again, has lost what it held before a
// rule asks for it.
func TestSetComesBack(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		s.sync(t, update())
		const name = "vr4aback"
		old, now := members("192.0.2.1/32"), members("192.0.2.2/32")
		err := errors.Join(s.plane.sets.create(name, ipv4, addressesLetter, 64), s.plane.sets.add(name, []entry{{prefix: old[0].Prefix}}))
		if err != nil {
			t.Fatal(err)
		}
		s.plane.known[name] = &kernelSet{family: ipv4, kind: addressesLetter, max: 64, count: 1}
		s.plane.gone[name] = struct{}{}
		if err := s.plane.writer().change(ipv4, addressesLetter, name, &policy.SetChange{Add: now}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.plane.sets.members(name); err != nil || text(got) != now[0].String() {
			t.Errorf("members %v, %v, want %s", got, err, now[0])
		}
	})
}

// Without IPv6 there are no sets of it either.
func TestWithoutIPv6(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		s.plane.tools.families = s.plane.tools.families[:1]
		s.sync(t, update())
		for name := range s.plane.known {
			if name[2] != ipv4.digit {
				t.Errorf("there is a set %s", name)
			}
		}
		if out := s.host.MustRun("ipset", "list", "-n"); strings.Contains(out, "vr6") || !strings.Contains(out, "vr4") {
			t.Errorf("sets:\n%s", out)
		}
	})
}

// What the kernel refuses leaves the old rules in force.
func TestRefused(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		s.sync(t, update())
		before := s.save()
		u := &policy.Update{Endpoints: map[resource.EndpointID]*policy.Endpoint{
			endpointID(3): {ID: endpointID(3), Interface: "cali-longer-than-any", Ingress: "ingress", Egress: "egress"},
		}}
		if err := s.plane.Apply(t.Context(), u); err == nil || !strings.Contains(err.Error(), "write IPv4 table filter") {
			t.Errorf("apply: %v", err)
		}
		if strip(s.save()) != strip(before) {
			t.Error("a refused update has changed rules")
		}
		s.requirePings(t, true, "after a refused update")
		if err := s.plane.Apply(t.Context(), &policy.Update{}); err == nil {
			t.Error("apply after one that failed")
		}
		s.sync(t, update())
	})
}

// Clean takes out what is ours, in both flavours, and nothing of others.
func TestClean(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		s.host.MustRun("ipset", "create", "theirs", "hash:ip")
		s.host.MustRun("ipset", "create", "vr-theirs", "hash:ip")
		for _, program := range []string{"iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"} {
			s.host.MustRun(program, "-A", "FORWARD", "-j", "ACCEPT")
			s.host.MustRun(program, "-N", "their-chain")
		}
		all := func() string {
			return strip(s.host.MustRun("iptables-nft-save") + s.host.MustRun("ip6tables-nft-save") +
				s.host.MustRun("iptables-legacy-save", "-t", "filter") + s.host.MustRun("ip6tables-legacy-save", "-t", "filter"))
		}
		before := all()
		first := s.plane
		s.sync(t, update())
		other := map[Flavour]Flavour{NFT: Legacy, Legacy: NFT}[first.Flavour()]
		fd := int(s.host.NetNS())
		second := open(t, Options{Flavour: other, NetNS: &fd})
		second.other = nil // so that both are in force
		if err := second.Sync(t.Context(), update()); err != nil {
			t.Fatal(err)
		}
		if err := NewRemains(&fd).Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := all(); withoutEmptyTables(after) != withoutEmptyTables(before) {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		headers, err := first.sets.headers()
		if err != nil || len(headers) != 2 {
			t.Errorf("sets left: %v, %v", headers, err)
		}
		if err := first.Clean(t.Context()); err != nil {
			t.Errorf("clean where nothing is: %v", err)
		}
	})
}

// A set that a rule asks for goes when the kernel lets it go, and not before.
func TestSetIsLetGo(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		const name = "vr4aheld"
		if err := s.plane.sets.create(name, ipv4, addressesLetter, 64); err != nil {
			t.Fatal(err)
		}
		program, rule := s.plane.tools.program(ipv4, ""), []string{"FORWARD", "-m", "set", "--match-set", name, "src", "-j", "ACCEPT"}
		s.host.MustRun(append([]string{program, "-A"}, rule...)...)
		ended, end := context.WithCancel(t.Context())
		end()
		if err := s.plane.sets.clean(ended); !errors.Is(err, nl.IPSetError(nl.IPSET_ERR_BUSY)) {
			t.Errorf("clean while a rule asks for it: %v", err)
		}
		done := make(chan error)
		go func() { done <- s.plane.sets.destroyReleased(t.Context(), name) }()
		s.host.MustRun(append([]string{program, "-D"}, rule...)...)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if headers, err := s.plane.sets.headers(); err != nil || len(headers) > 0 {
			t.Errorf("sets left: %v, %v", headers, err)
		}
	})
}

// withoutEmptyTables leaves out tables that hold nothing but the kernel's
// chains.
func withoutEmptyTables(save string) string {
	var out strings.Builder
	for table := range strings.SplitSeq(save, "COMMIT\n") {
		if strings.Contains(table, "\n-A") || strings.Contains(table, "their") {
			out.WriteString(table)
		}
	}
	return out.String()
}
