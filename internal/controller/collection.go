package controller

import "github.com/projectvrouter/vrouter/ipam"

// collection is what a controller counts of the collection of addresses.
type collection struct {
	rounds, failed int
	graceSeconds   float64       // of the last round; zero: nothing is collected
	suspects       ipam.Suspects // of the last round
	left           int           // garbage that is ready, for later rounds
	collected      ipam.Collected
	adopted        int // addresses of older endpoints that were taken in
}

// round counts a round that is over.
func (c *collection) round(collector *ipam.Collector, err error) {
	if err != nil {
		c.failed++
	} else {
		c.rounds++
	}
	c.graceSeconds, c.suspects = collector.Grace.Seconds(), collector.Suspects()
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
func (c *collection) idle() { c.graceSeconds, c.suspects, c.left = 0, ipam.Suspects{}, 0 }
