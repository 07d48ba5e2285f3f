package controller

import (
	"math"
	"time"

	"github.com/projectvrouter/vrouter/ipam"
)

// collection is what a controller counts of the collection of addresses.
type collection struct {
	rounds, failed int
	graceSeconds   float64       // of the last round; zero: nothing is collected
	suspects       ipam.Suspects // of the last round
	left           int           // garbage that is ready, for later rounds
	seconds        float64       // that the last round took
	parts          map[ipam.Part]ipam.Filled
	sizes          map[string]float64 // of pools, in addresses
	collected      ipam.Collected
	adopted        int // addresses of older endpoints that were taken in
}

// round counts a round that is over.
func (c *collection) round(collector *ipam.Collector, took time.Duration, err error) {
	if err != nil {
		c.failed++
	} else {
		c.rounds++
	}
	c.graceSeconds, c.suspects, c.seconds = collector.Grace.Seconds(), collector.Suspects(), took.Seconds()
}

// look takes note of how full the pools are.
func (c *collection) look(w *ipam.World) {
	c.parts, c.sizes = w.Parts(w.Env), make(map[string]float64)
	for _, p := range w.Env.Pools {
		c.sizes[p.Name] = math.Exp2(float64(p.CIDR.Addr().BitLen() - p.CIDR.Bits()))
	}
}

// add counts what a round took away, and what it left.
func (c *collection) add(got ipam.Collected, left int) {
	c.left = left
	c.collected.Addresses += got.Addresses
	c.collected.Tunnels += got.Tunnels
	c.collected.LoadBalancers += got.LoadBalancers
	c.collected.Dead += got.Dead
	c.collected.Empty += got.Empty
	c.collected.Spared += got.Spared
}

// idle forgets what only a leader knows.
func (c *collection) idle() {
	*c = collection{rounds: c.rounds, failed: c.failed, collected: c.collected, adopted: c.adopted}
}
