package policytest

import "github.com/projectvrouter/vrouter/policy/explain"

// Probe is a packet that begins a connection, and what should become of it: a
// line of a file of probes.
type Probe struct{ explain.Probe }

// ParseProbes reads one JSON object a line; empty lines are skipped.
func ParseProbes(data []byte) ([]Probe, error) {
	read, err := explain.ParseProbes(data)
	var list []Probe
	for _, p := range read {
		list = append(list, Probe{p})
	}
	return list, err
}
