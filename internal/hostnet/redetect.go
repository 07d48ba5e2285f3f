package hostnet

import (
	"context"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// detectSettle lets changes of addresses that come together be looked at
// together: a renewed lease takes one away and adds another.
const detectSettle = time.Second

// FollowDetection looks for the node's addresses again whenever those of the
// host change, until ctx ends, and calls found with what it finds. What only
// workloads and links have, addresses that are not global unicast, counts for
// nothing; nor do routes, of which there may be a million. After the time that
// found returns, unless that is zero, they are looked for without a change, too.
func (h *Host) FollowDetection(ctx context.Context, opts DetectOptions, found func(Detection) (again time.Duration)) error {
	return h.follow(ctx, func() (time.Duration, error) {
		d, err := h.Detect(ctx, opts)
		if err != nil {
			return 0, err
		}
		return found(d), nil
	})
}

// FollowAddresses calls found with what Addresses returns, at once and whenever
// it changes, until ctx ends.
func (h *Host) FollowAddresses(ctx context.Context, found func(map[string][]netip.Addr)) error {
	return h.follow(ctx, func() (time.Duration, error) {
		all, err := h.Addresses()
		if err == nil {
			found(all)
		}
		return 0, err
	})
}

// Addresses returns the global unicast addresses of the host by interface.
func (h *Host) Addresses() (map[string][]netip.Addr, error) {
	list, err := h.addresses(netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	all := make(map[string][]netip.Addr)
	for _, a := range list {
		if addr := a.prefix.Addr(); addr.IsGlobalUnicast() {
			all[a.link] = append(all[a.link], addr)
		}
	}
	return all, nil
}

// follow calls look at once and whenever addresses of the host change, and after
// the time that it returns, unless that is zero.
func (h *Host) follow(ctx context.Context, look func() (time.Duration, error)) error {
	for ctx.Err() == nil {
		if err := h.followAddresses(ctx, look); err != nil {
			h.log.Warn("address events were lost", "retry_in", watchPause, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
	return nil
}

func (h *Host) followAddresses(ctx context.Context, look func() (time.Duration, error)) error {
	var broken error
	updates := make(chan netlink.AddrUpdate, 256)
	done := make(chan struct{})
	defer close(done)
	err := netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{
		ReceiveBufferSize: watchBuffer, ReceiveBufferForceSize: true,
		ErrorCallback: func(err error) { broken = err },
	})
	if err != nil {
		return err
	}
	again := time.After(0) // what changed before the subscription was not told
	settles := true        // soon enough for what changes meanwhile
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-updates:
			if !ok {
				return broken // written before the channel was closed
			}
			a, _ := netip.AddrFromSlice(u.LinkAddress.IP)
			if !settles && a.Unmap().IsGlobalUnicast() {
				again, settles = time.After(detectSettle), true
			}
		case <-again:
			again, settles = nil, false
			pause, err := look()
			if err != nil {
				h.log.Warn("addresses of the host were not looked for", "retry_in", detectSettle, "error", err)
				pause = detectSettle
			}
			if pause > 0 {
				again = time.After(pause)
			}
		}
	}
}
