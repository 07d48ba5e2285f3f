package bgptest

import (
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

func TestFakeConforms(t *testing.T) {
	network := NewNetwork()
	Run(t, func(testing.TB) bgp.Speaker { return network.NewSpeaker() })
}
