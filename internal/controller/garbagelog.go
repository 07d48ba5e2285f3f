package controller

import (
	"strings"

	"github.com/projectvrouter/vrouter/ipam"
)

// tell logs what is to be collected, so that it can be found out later who took
// an address away, and from whom. It may yet be spared: the count says so that
// follows.
func (c *Controller) tell(g *ipam.Garbage) {
	for _, leak := range g.Leaks {
		var addresses []string
		for _, r := range leak.Releases {
			addresses = append(addresses, r.Address.String())
		}
		c.log.Info("collecting leaked addresses", "handle", leak.ID, "owner", leak.Owner.String(), "addresses", strings.Join(addresses, " "))
	}
	for _, b := range g.Dead {
		c.log.Info("collecting a block of a dead node", "node", b.Node, "prefix", b.CIDR)
	}
	for _, b := range g.Empty {
		c.log.Debug("collecting an empty block", "node", b.Node, "prefix", b.CIDR)
	}
}
