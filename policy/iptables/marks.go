package iptables

import "fmt"

// The bits of the packet's mark that we use: of those that we may, not the
// lowest three, which are policy/nftables': while one gives way to the other,
// both look at a packet.
//
// allowBit is what a policy, and so a pipeline, lets through. It is cleared
// before each pipeline, and stays on what came through all of them.
//
// passBit is set by a rule that passes, and cleared by the tier that it leaves.
//
// acceptedBit is on packets that untracked or preDNAT policy let in: they meet
// no other ingress policy of host endpoints. It is cleared when a packet enters
// and when one is sent, so that it is never inherited from a tunnel's outside.
//
// stagedBit is set by a rule of a staged policy that would decide, so that no
// further staged policy of the tier counts the packet.
//
// hostBit is on packets between a workload and its own host while they are in
// the pipelines of workloads: ingress is not for them, and egress comes after
// the host's services, which clear the bit.
func (s *state) allowBit() uint32    { return s.markBit(3) }
func (s *state) passBit() uint32     { return s.markBit(4) }
func (s *state) acceptedBit() uint32 { return s.markBit(5) }
func (s *state) stagedBit() uint32   { return s.markBit(6) }
func (s *state) hostBit() uint32     { return s.markBit(7) }

func (s *state) markBit(n int) uint32 {
	mask := s.settings.MarkMask
	for range n {
		mask &= mask - 1
	}
	return mask & -mask
}

// hasMark holds for packets with all these bits, noMark for those with none.
func hasMark(bits uint32) string { return fmt.Sprintf("-m mark --mark 0x%x/0x%x", bits, bits) }
func noMark(bits uint32) string  { return fmt.Sprintf("-m mark --mark 0x0/0x%x", bits) }
func anyMark(bits uint32) string { return fmt.Sprintf("-m mark ! --mark 0x0/0x%x", bits) }

// setMark sets some bits and clears others.
func setMark(set, clear uint32) string {
	return fmt.Sprintf("-j MARK --set-xmark 0x%x/0x%x", set, set|clear)
}
