package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// ipamSettings shows the IPAMConfiguration, and what holds where it says
// nothing.
func (a *app) ipamSettings(ctx context.Context, f format) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	msg, err := getObject(ctx, c, ref{kind: resource.KindIPAMConfiguration, name: resource.DefaultName})
	if exitCode(err) == ExitNotFound {
		msg, err = &vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String(resource.DefaultName)}}, nil
	}
	if err != nil {
		return err
	}
	if f != formatTable {
		return a.writeObjects(f, []proto.Message{msg}, true)
	}
	s := msg.(*vrouterv1.IPAMConfiguration).GetSpec()
	blocks := strconv.Itoa(resource.DefaultMaxBlocks) + ", as nobody says otherwise"
	if n := s.GetMaxBlocksPerHost(); n > 0 {
		blocks = strconv.Itoa(int(n))
	}
	t := a.newTable(false, "setting", flexible+"value")
	t.add("strictAffinity", strconv.FormatBool(s.GetStrictAffinity()))
	t.add("autoAllocateBlocks", strconv.FormatBool(s == nil || s.AutoAllocateBlocks == nil || *s.AutoAllocateBlocks))
	t.add("maxBlocksPerHost", blocks)
	t.add("ipCooldownSeconds", fmt.Sprint(s.GetIpCooldownSeconds()))
	t.add("foreignCIDRs", or(strings.Join(s.GetForeignCidrs(), ", "), "none"))
	return t.flush(a.Out)
}
