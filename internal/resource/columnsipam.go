package resource

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// addressRow returns the cells of the kinds of address management. What cannot
// be read has its name alone.
func addressRow(name string, msg proto.Message) []string {
	switch m := msg.(type) {
	case *vrouterv1.IPReservation:
		return []string{name, strings.Join(m.GetSpec().GetReservedCidrs(), ",")}
	case *vrouterv1.IPAMConfiguration:
		s := m.GetSpec()
		claims := s == nil || s.AutoAllocateBlocks == nil || *s.AutoAllocateBlocks
		return []string{name, strconv.FormatBool(s.GetStrictAffinity()), strconv.FormatBool(claims),
			strconv.Itoa(cmp.Or(int(s.GetMaxBlocksPerHost()), DefaultMaxBlocks)), fmt.Sprintf("%ds", s.GetIpCooldownSeconds())}
	case *vrouterv1.IPAMBlock:
		s := m.GetSpec()
		free := len(s.GetUnallocated())
		return []string{or(s.GetCidr(), name), or(s.GetAffinity(), "-"),
			strconv.Itoa(len(s.GetAllocations()) - free), strconv.Itoa(free)}
	case *vrouterv1.BlockAffinity:
		s := m.GetSpec()
		return []string{or(s.GetNode(), name), s.GetCidr(), s.GetState(), strconv.FormatBool(s.GetAssigned())}
	case *vrouterv1.IPAMHandle:
		s := m.GetSpec()
		return []string{or(s.GetHandleId(), name), or(s.GetOwnerKind(), "-"), strings.Join(sortedKeys(s.GetBlock()), ",")}
	}
	return []string{name}
}
