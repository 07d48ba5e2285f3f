// Package policybench measures policy: what a change costs from the resource to
// the kernel, what a start costs, and what a packet costs that policy lets
// through. It is all in benchmarks; make bench-policy runs them.
//
// What it keeps true: everything is measured beside its peers in one run, in
// rounds in which each takes its turn, and reported as medians. The peers are
// made here: one bare iptables-restore or nft -f of one chain, plain routing, a
// plain veth pair, and chains like Calico's (dispatch by a tree of prefixes, a
// chain for each endpoint, verdicts as mark bits) made of the same policies.
//
// What it does not do: no daemons, no store, no second host. Packets go between
// two namespaces over a third, and the time that counts is what the processors
// worked, not what passed: see meter_test.go.
package policybench
