package fibtest

import (
	"context"
	"net/netip"

	"github.com/projectvrouter/vrouter/fib"
)

// Host is a kernel whose surroundings a test can change.
type Host interface {
	fib.Kernel
	// AddLink makes a link that is up and has a carrier.
	AddLink(name string)
	DeleteLink(name string)
	SetUp(name string, up bool)
	SetCarrier(name string, carrier bool)
	// AddAddress gives a link an address, and with it the connected route.
	AddAddress(name string, prefix netip.Prefix)
	DeleteAddress(name string, prefix netip.Prefix)
	// Index of a link, 0 when there is none.
	Index(name string) int32
	// Interfere writes as somebody else: what it does are events for Watch.
	Interfere(changes ...fib.Change) []error
	// Append puts a route beside those in its slot, as somebody else: behind
	// them, or first.
	Append(e fib.Entry, first bool)
}

var (
	_ Host       = (*Kernel)(nil)
	_ fib.Kernel = (*Kernel)(nil)
)

// Interfere implements Host.
func (k *Kernel) Interfere(changes ...fib.Change) []error {
	return k.apply(context.Background(), changes, true)
}
