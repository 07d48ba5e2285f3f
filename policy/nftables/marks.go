package nftables

import (
	"fmt"
	"math/bits"

	"github.com/projectvrouter/vrouter/policy"
)

// The bits of the packet's mark that we use, the lowest that we may.

// passBit is set by a rule that passes, and cleared by the tier that it leaves:
// nothing else ever sees it.
func (s *state) passBit() uint32 { return s.markBit(0) }

// acceptedBit is on packets that untracked or preDNAT policy let in: they meet
// no other ingress policy of host endpoints. It is cleared when a packet enters
// and when one is sent, so that it is never inherited from a tunnel's outside.
func (s *state) acceptedBit() uint32 { return s.markBit(1) }

// stagedBit is set by a rule of a staged policy that would decide, so that no
// further staged policy of the tier counts the packet.
func (s *state) stagedBit() uint32 { return s.markBit(2) }

// checkMask refuses settings that leave us too few bits: a rule that passes
// would not.
func checkMask(s *policy.Settings) error {
	if s != nil && bits.OnesCount32(s.MarkMask) < 3 {
		return fmt.Errorf("mark mask 0x%x has fewer than three bits", s.MarkMask)
	}
	return nil
}

func (s *state) markBit(n int) uint32 {
	mask := s.settings.MarkMask
	for range n {
		mask &= mask - 1
	}
	return mask & -mask
}
