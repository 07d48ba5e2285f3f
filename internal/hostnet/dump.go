package hostnet

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// dumpTries is how often a list is asked for that the kernel says was of no
// single state, as while containers start. On a host where they never cease to
// the last one must do: what did not change meanwhile is in it.
const dumpTries = 4

// steady runs a dump until nothing changed while it was made.
func steady(dump func() error) error {
	for range dumpTries {
		if err := dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return err
		}
	}
	return nil
}

func (h *Host) listLinks() (all []netlink.Link, err error) {
	err = steady(func() error { all, err = h.nl.LinkList(); return err })
	return all, err
}

// listAddrs lists the addresses of a link; nil: of all.
func (h *Host) listAddrs(link netlink.Link, family int) (all []netlink.Addr, err error) {
	err = steady(func() error { all, err = h.nl.AddrList(link, family); return err })
	return all, err
}

// eachRoute tells f the routes of a table one by one, because there may be a
// million. Before they are told from the start again it calls begin.
func (h *Host) eachRoute(family, table int, begin func(), f func(*netlink.Route)) error {
	filter := &netlink.Route{Table: table}
	return steady(func() error {
		begin()
		return h.nl.RouteListFilteredIter(family, filter, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			f(&r)
			return true
		})
	})
}
