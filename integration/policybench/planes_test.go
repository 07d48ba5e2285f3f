package policybench

import (
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/iptables"
	"github.com/projectvrouter/vrouter/policy/nftables"
)

// plane is a dataplane that is measured.
type plane struct {
	name string
	open func(netns int) (policy.Dataplane, error)
	// flavour of iptables; empty: it is none.
	flavour iptables.Flavour
}

func planes() []plane {
	out := []plane{{name: "nftables", open: func(netns int) (policy.Dataplane, error) {
		return nftables.New(nftables.Options{NetNS: &netns})
	}}}
	for _, flavour := range []iptables.Flavour{iptables.Legacy, iptables.NFT} {
		out = append(out, plane{name: "iptables-" + string(flavour), flavour: flavour,
			open: func(netns int) (policy.Dataplane, error) {
				return iptables.New(iptables.Options{NetNS: &netns, Flavour: flavour})
			}})
	}
	return out
}

// openOn opens a dataplane for a host until the test ends.
func (p plane) openOn(t testing.TB, h *lab.Host) policy.Dataplane {
	t.Helper()
	d, err := p.open(int(h.NetNS()))
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("%s: close: %v", p.name, err)
		}
	})
	return d
}

// upToLimit leaves out numbers of policies beyond VROUTER_BENCH_POLICIES, if
// that is given.
func upToLimit(sizes ...int) []int {
	limit, err := strconv.Atoi(os.Getenv("VROUTER_BENCH_POLICIES"))
	if err != nil {
		return sizes
	}
	return slices.DeleteFunc(sizes, func(n int) bool { return n > limit })
}
