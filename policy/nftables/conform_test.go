package nftables

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/policytest"
)

func TestConformance(t *testing.T) {
	policytest.Run(t, func(t *testing.T, netns int) policy.Dataplane {
		d, err := New(Options{NetNS: &netns, Logger: hclog.New(&hclog.LoggerOptions{Output: testWriter{t}})})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	})
}
