// Package engine is a bgp.Speaker of our own, for hosts and reflectors alike,
// on the codec of bgp/wire and the sessions of bgp/session.
//
// It keeps true that what a peer holds becomes, at every quiet point, exactly
// what the policy gives it: our own routes, and over a reflector the best of
// the others' (RFC 4456), never a peer's own route back to it, and never a path
// that nobody has any longer. A peer that does not read costs a cursor, not a
// queue: what was superseded while it slept is not sent.
//
// Peers that are to get the same bytes are a group. A group has one log of
// encoded UPDATEs, written once; each member has a place in it. A member whose
// place is no longer in the log, or that is new, or asks for a refresh, walks
// the table and goes on in the log where its walk began.
//
// Connections' readers parse in parallel. The table, the groups and the places
// in them are guarded by Engine.mu; records of routes and paths are without
// pointers, and attributes are kept once for each distinct set of bytes.
//
// A session (peer) has a channel for each of its families, with the source of
// its paths and its place in a group; one goroutine writes them all. Sessions of
// a range come to be when a router connects, and go when nothing is left of it.
//
// Where things are:
//
//	engine, sessions, wanted, reopen, hold   which sessions there are, opened, held, reopened
//	postponed                                changes that wait until a session can take them
//	dynamic                                  those of ranges
//	peer, channel                            what a session brings, and its families
//	restart, stale                           graceful restart, of ourselves and of peers
//	rib, routes, attributes, prefix, slab    the table; within finds what lies in a prefix
//	judge, change, roles                     whether a path may be used, and how it is changed
//	best, decide, costs                      the order of paths, and next hops
//	export, group, state, pack, log          what a group is sent, and remembers of it
//	member, evict, retreat                   a peer's place in it; slow peers; another policy
//	news                                     which best paths changed, for Speaker.Drain
//	view, stats, watch, observe              what is shown
//
// It does not resolve next hops and knows no kernel route. RFC 4271, 4456,
// 4486, 4724, 5082, 7313, 7606, 7911, 8538, 8950, 9003, 9234, 9494.
package engine
