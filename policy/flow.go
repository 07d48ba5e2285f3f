package policy

import "time"

// Flow is a packet that a dataplane sent to the flow group: one that was denied,
// or logged by a rule.
type Flow struct {
	Time    time.Time
	In, Out string // interfaces; empty where the packet was judged before it was known
	Prefix  FlowPrefix
	Packet  Packet // ports are zero in all but the first fragment
	Length  int    // octets, as its header says
}
