package iptables

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/policytest"
)

func TestConformance(t *testing.T) {
	for _, flavour := range []Flavour{NFT, Legacy} {
		t.Run(string(flavour), func(t *testing.T) {
			testenv.Need(t, "root", "program:iptables-"+string(flavour))
			policytest.Run(t, func(t *testing.T, netns int) policy.Dataplane {
				return open(t, Options{Flavour: flavour, NetNS: &netns})
			})
		})
	}
}

// open is a dataplane as a process that starts has it.
func open(t *testing.T, o Options) *Dataplane {
	t.Helper()
	o.Logger = hclog.New(&hclog.LoggerOptions{Output: testWriter{t}})
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}
