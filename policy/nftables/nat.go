package nftables

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// postrouting translates what pools with natOutgoing send to elsewhere than to
// a pool. Connection tracking does the rest, so that only the first packet of
// a connection comes here. Without such pools there is no chain: it would have
// the kernel look for translations of every packet.
func (s *state) postrouting() *chain {
	c := &chain{name: postroutingChain, base: filterHook("postrouting", natPriority)}
	c.base.typ = "nat"
	if s.sets[policy.MasqueradeSet].isEmpty() {
		return c
	}
	for _, f := range []*family{ipv4, ipv6} {
		for _, bits := range s.lengths(policy.MasqueradeSet, f) {
			var clauses []clause
			if out := s.settings.NAT.Interface; strings.HasSuffix(out, "+") {
				clauses = append(clauses, matchInterfacePrefix(oif, out[:len(out)-1]))
			} else if out != "" {
				clauses = append(clauses, matchInterface(oif, out, false))
			}
			clauses = append(clauses, matchFamily(f),
				matchSet(source, f, bits, policy.MasqueradeSet))
			clauses = append(clauses, matchNotSet(destination, f, s.lengths(policy.PoolSet, f), policy.PoolSet)...)
			if s.settings.NAT.SpareNodes {
				clauses = append(clauses, matchNotSet(destination, f, s.lengths(policy.NodeSet, f), policy.NodeSet)...)
			}
			c.rules = append(c.rules, newRule(append(clauses, counter(), s.translate(f))...))
		}
	}
	return c
}

// translate gives the packet the source address that settings say, and a port
// that nobody can guess.
func (s *state) translate(f *family) clause {
	nat := &s.settings.NAT
	to := nat.Address
	if f == ipv6 {
		to = nat.Address6
	}
	if to.IsValid() {
		return snat(f, to, nat.Ports)
	}
	return masquerade(nat.Ports)
}

// masquerade is written by hand, because the library has no flag for ports.
func masquerade(ports policy.PortRange) clause {
	c := clause{text: "masquerade"}
	flags := uint32(unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY)
	if ports != (policy.PortRange{}) {
		c.text += " to :" + dashed(ports)
		c.exprs = loadPorts(ports)
		flags |= unix.NF_NAT_RANGE_PROTO_SPECIFIED
	}
	c.text += " fully-random"
	var w builder
	w.text(unix.NFTA_EXPR_NAME, "masq")
	at := w.open(unix.NFTA_EXPR_DATA)
	w.uint32(unix.NFTA_MASQ_FLAGS, flags)
	if len(c.exprs) > 0 {
		w.uint32(unix.NFTA_MASQ_REG_PROTO_MIN, portMinReg)
		w.uint32(unix.NFTA_MASQ_REG_PROTO_MAX, portMaxReg)
	}
	w.close(at)
	c.raw = w.b
	return c
}

func snat(f *family, to netip.Addr, ports policy.PortRange) clause {
	c := clause{
		text:  fmt.Sprintf("snat %s to %s", f.name, to),
		exprs: []expr.Any{&expr.Immediate{Register: reg, Data: to.AsSlice()}},
	}
	nat := &expr.NAT{
		Type: expr.NATTypeSourceNAT, Family: uint32(f.nfproto), RegAddrMin: reg, RegAddrMax: reg, FullyRandom: true,
	}
	if ports != (policy.PortRange{}) {
		c.text += ":" + dashed(ports)
		c.exprs = append(c.exprs, loadPorts(ports)...)
		nat.RegProtoMin, nat.RegProtoMax, nat.Specified = portMinReg, portMaxReg, true
	}
	c.text += " fully-random"
	c.exprs = append(c.exprs, nat)
	return c
}

const (
	portMinReg = unix.NFT_REG_2
	portMaxReg = unix.NFT_REG_3
)

func loadPorts(r policy.PortRange) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: portMinReg, Data: bigEndian(r.First)},
		&expr.Immediate{Register: portMaxReg, Data: bigEndian(r.Last)},
	}
}
