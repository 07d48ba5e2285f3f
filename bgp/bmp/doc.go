// Package bmp tells monitoring stations what BGP peers say, over the BGP
// Monitoring Protocol, version 3 (RFC 7854): Initiation, Peer Up with both
// OPENs, Route Monitoring of what came before and, by option, after the import
// policy, Peer Down with its reason, Statistics Reports, Termination.
//
// It dials the stations, and reads nothing from them. Every station that
// connects gets the sessions that are up and all that they have told, then what
// follows. What follows is one log of messages for all stations, of bounded
// size; a station that falls behind it is disconnected and begins anew. So no
// station holds up the speaker, the others, or memory.
//
// UPDATEs are passed on as they came. What was malformed is told as what was
// made of it (RFC 7606), and the first transfer has what the table holds, four
// octets for each AS number. Adj-RIB-Out (RFC 8671), Loc-RIB (RFC 9069), Route
// Mirroring and distinguishers are not sent: of two sessions with one address
// on two ports a station sees one peer.
package bmp
