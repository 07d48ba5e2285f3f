package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
)

// TestInteropRestart kills BIRD, FRR and GoBGP in turn. One that returns in
// time is missed by nobody, and has all the time it needs. Of one that stays
// away the routes are kept as long-lived stale ones after its time, lose to a
// fresh one however bad, and are gone in the end.
func TestInteropRestart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name               string
		restart, longLived time.Duration // that a reflector and the routers keep each other's routes
		kill               func(x *interop, r *reflector, f *foreign, others []*foreign)
	}{
		{"returns", 2 * fabric.Limit, 2 * fabric.Limit, (*interop).returns},
		// Long enough for all that is looked at while the routes are stale.
		{"stays away", 6 * time.Second, 30 * time.Second, (*interop).staysAway},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newInterop(t, "gr", 1, "bird", "frr", "gobgp")
			r := x.reflectors[0]
			x.settings = fmt.Sprintf(", maxRestartTime: %s, longLivedRestartTime: %s", c.restart, c.longLived)
			x.startReflector(0, "")
			x.startRouters(2, func(_ *foreign, s *fabric.RouterSpec) {
				for i := range s.Peers {
					s.Peers[i].Restart, s.Peers[i].LongLived = c.restart, c.longLived
				}
			})
			x.requireReflected(r)
			for i, f := range x.routers {
				others := []*foreign{x.routers[(i+1)%3], x.routers[(i+2)%3]}
				if !t.Run(f.Name(), func(t *testing.T) { c.kill(x.in(t), r, f, others) }) {
					return
				}
			}
			x.requireWellFormed(100)
		})
	}
}

// in is x for a part of its test.
func (x *interop) in(t *testing.T) *interop {
	y := *x
	y.t = t
	return &y
}

// returns kills f and starts it again.
func (x *interop) returns(r *reflector, f *foreign, others []*foreign) {
	c := fabric.NewCapture(x.t, r.Host)
	f.Kill()
	r.WaitEstablished(2 * len(others))
	f.Start()
	r.WaitTold(2 * len(x.routers))
	x.requireReflected(r)
	c.Stop()
	for _, o := range others {
		for family, from := range r.addresses() {
			if n, err := c.Withdrawals(x.t.Context(), from, o.addresses()[family]); err != nil || n > 0 {
				x.t.Errorf("%s was told %d withdrawals by %s (%v)", o.Name(), n, from, err)
			}
		}
	}
}

// staysAway kills f, and starts it again when nobody has its routes any longer.
func (x *interop) staysAway(r *reflector, f *foreign, others []*foreign) {
	f.Kill()
	r.WaitEstablished(2 * len(others))
	stale := reflected(f, r)
	for i := range stale {
		stale[i].Communities = append(stale[i].Communities, fabric.LongLivedStale)
	}
	x.requirePaths(others[0], append(reflected(others[1], r), stale...))
	x.requirePaths(others[1], append(reflected(others[0], r), stale...))

	fresh := f.route(1, true)
	fresh.LocalPref, fresh.Community = 1, "64512:999"
	others[0].tell(append(others[0].routes(2), fresh)...)
	var rest []fabric.Route
	for _, s := range stale {
		if s.Prefix != fresh.Prefix.String() {
			rest = append(rest, s)
		}
	}
	x.requirePaths(others[1], append(reflected(others[0], r), rest...))
	x.requirePaths(others[0], append(reflected(others[1], r), rest...))

	x.requirePaths(others[1], reflected(others[0], r))
	x.requirePaths(others[0], reflected(others[1], r))
	others[0].tell(others[0].routes(2)...)
	f.Start()
	x.requireReflected(r)
}
