package policytest

import (
	"testing"

	"github.com/projectvrouter/vrouter/policy"
)

// natOutgoing looks at the sources that packets have at the far end.
func (s *suite) natOutgoing(t *testing.T) {
	const pools = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 10.65.0.0/16, natOutgoing: true}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods6}
spec: {cidr: "fd00:65::/32", natOutgoing: true}
`
	list, err := objects([]byte(pools))
	if err != nil {
		t.Fatal(err)
	}
	s.store(t, list)
	for _, c := range []struct{ from, to, want string }{
		{"default/w1", "8.8.8.8", "198.51.100.1"},
		{"default/w1", "203.0.113.7", "192.0.2.1"},
		{"default/w1", "2001:4860::8", "2001:db8:b::1"},
		{"other/w4", "2001:db8:113::7", "2001:db8:a::1"},
		{"default/w1", "10.65.1.1", "10.65.0.1"},     // to a pool
		{"default/w1", "fd00:65:2::1", "fd00:65::1"}, //
		{"default/w1", "10.65.0.2", "10.65.0.1"},     //
		{"203.0.113.7", "default/w2", "203.0.113.7"}, // from outside the pools
		{"203.0.113.7", "8.8.8.8", "203.0.113.7"},    //
		{"host:h1/eth0", "203.0.113.7", "192.0.2.1"}, // of the host itself
		{"10.65.1.1", "8.8.8.8", "198.51.100.1"},     // a pool's, of another host
	} {
		var p Probe
		p.From, p.To, p.Protocol = c.from, c.to, policy.ProtocolUDP
		p.Port = 7
		way, err := flights(list, p)
		if err != nil {
			t.Fatal(err)
		}
		_, seen, err := s.send([]Journey{*way[0].journey()})
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := seen[0]; !ok || at.source.String() != c.want {
			t.Errorf("%s to %s: came from %s (%t), want %s", c.from, c.to, at.source, ok, c.want)
		}
	}
}
