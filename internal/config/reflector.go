package config

import (
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Reflector says what a route reflector does beyond reflecting.
type Reflector struct {
	// OriginCheck is how origins are checked, where no ReflectorGroup says it.
	OriginCheck resource.OriginCheck
}

// Controller holds the times of the election of reflectors.
type Controller struct {
	HoldOff     time.Duration // how long a reflector may be without its lease
	RetireAfter time.Duration // how long one that was replaced stays at most
}

func (c *checker) reflector(raw *rawReflector) Reflector {
	modes := []string{"off", "log", "enforce"}
	checks := []resource.OriginCheck{resource.OriginCheckOff, resource.OriginCheckLog, resource.OriginCheckEnforce}
	mode := text(raw.OriginCheck, modes[0])
	i := slices.Index(modes, mode)
	if i < 0 {
		c.problem("reflector.originCheck", "%q is none of off, log, enforce", mode)
		i = 0
	}
	return Reflector{OriginCheck: checks[i]}
}

func (c *checker) controller(raw *rawController) Controller {
	return Controller{
		HoldOff:     c.duration("controller.holdOff", raw.HoldOff, 30*time.Second, 0, time.Hour),
		RetireAfter: c.duration("controller.retireAfter", raw.RetireAfter, 10*time.Minute, 0, 24*time.Hour),
	}
}
