package bgptest

import (
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

func TestFakeConforms(t *testing.T) {
	network := NewNetwork()
	Run(t, func(testing.TB) bgp.Speaker { return network.NewSpeaker() }, map[string]string{
		"restart of a reflector": "fakes do not wait for End-of-RIB",
	})
}
