// Package mrt writes the table of a bgp.Speaker as a file of MRT, TABLE_DUMP_V2
// (RFC 6396 §4.3), with path identifiers where there are any (RFC 8050 §4), as
// bgpdump and the collectors' tools read it.
//
// Each prefix is as it stands when its turn comes: the file is of no single
// moment. A Speaker keeps no time for each path; what stands for it is the time
// at which its session came up. Attributes are those that the peer told, AS
// numbers in four octets. Paths that are refused are among them: it is what was
// received that is dumped, and what was originated.
package mrt
