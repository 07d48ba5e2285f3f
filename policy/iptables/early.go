package iptables

// rawChains renders the check of what workloads send from, and untracked
// policy of host endpoints.
func (s *state) rawChains(at place) []*chain {
	in := newChain(hookChain("PREROUTING"))
	chains := append([]*chain{in}, s.sourceCheck(at.family)...)
	if s.hasEarly() {
		in.add("", setMark(0, s.acceptedBit()))
	}
	for _, match := range s.workloads(iif) {
		in.add(match, "-g "+sourceChain)
	}
	if !s.hasEarly() {
		return chains
	}
	// The outside of a tunnel inherits the mark of its inside.
	out := newChain(hookChain("OUTPUT"))
	out.add("", setMark(0, s.acceptedBit()))
	chains = append(chains, out)
	if s.isUsed(untrackedIn) {
		s.openIn(in, at.family)
		s.replies(in, at.family, s.settings.FailsafeOutbound, source)
		s.untracked(in, untrackedIn)
		chains = append(chains, s.pointChain(untrackedIn))
	}
	if s.isUsed(untrackedOut) {
		for _, match := range s.workloads(oif) {
			out.add(match, "-j RETURN")
		}
		s.openOut(out, at.family)
		s.replies(out, at.family, s.settings.FailsafeInbound, destination)
		s.untracked(out, untrackedOut)
		chains = append(chains, s.pointChain(untrackedOut))
	}
	if s.isUsed(untrackedIn) || s.isUsed(untrackedOut) {
		chains = append(chains, s.verdictChains()...)
		chains = append(chains, newChain(notrackChain,
			newRule("", "-j CT --notrack"), newRule("", setMark(s.acceptedBit(), s.allowBit()))))
	}
	return chains
}

// untracked takes what policy lets through out of connection tracking.
func (s *state) untracked(c *chain, p point) {
	c.add("", setMark(0, s.allowBit()|s.passBit()))
	c.add("", "-j "+p.chain)
	c.add(hasMark(s.allowBit()), "-g "+notrackChain)
}

// mangleChains renders policy before destinations are translated.
func (s *state) mangleChains(f *family) []*chain {
	if !s.isUsed(preDNAT) {
		return nil
	}
	c := newChain(hookChain("PREROUTING"))
	c.add(matchState("RELATED,ESTABLISHED"), "-j RETURN")
	s.unlessAccepted(c)
	s.openIn(c, f)
	c.add("", setMark(0, s.allowBit()|s.passBit()))
	c.add("", "-j "+preDNAT.chain)
	c.add(hasMark(s.allowBit()), setMark(s.acceptedBit(), s.allowBit()))
	return append(s.verdictChains(), s.pointChain(preDNAT), c)
}
