// Package policytest has what tests of policy stand on: a plain reference that
// judges packets by what is stored ([Reference]), a suite that sends real
// packets through a dataplane and compares ([Run]), cases with verdicts worked
// out by hand ([Cases]), random clusters and packets, and a dataplane in memory
// ([Memory]).
//
// What it keeps true: the reference shares nothing with what it judges, neither
// resolver nor resolved form; all that is random follows from its seed; no
// verdict rests on how long something took, since a frame that goes through the
// same queue tells when all before it have met their fate.
//
// What it does not do: packets that are not the first of a connection have no
// verdict of their own, but answers must get through; ICMP errors are not sent.
package policytest
