// Package gobgp is a bgp.Speaker on the server of GoBGP v3.
//
// GoBGP keeps the sessions, decodes, and sends; this package says which
// sessions and originations there are, keeps what peers told after GoBGP's
// import policy, and decides for itself what is accepted and best (package
// bgp), so that pools can change without asking a peer again. GoBGP's policies
// are constant on a host: it exports what is its own and nothing else. On a
// reflector, whose exports come from GoBGP's own table, they hold the pools
// too, and a change of pools runs all that was received through them again.
//
// What cannot be had from GoBGP v3.37 and is left as it is:
//   - A malformed message from any peer can end the process: its decoder
//     panics in a goroutine of its own.
//   - One session per peer address; a second port of it is refused.
//   - A path with our router id as ORIGINATOR_ID does not take the place of an
//     older path of the same peer.
//   - A learned path of higher LOCAL_PREF than an origination of ours silences
//     the origination.
//   - After a session drops, the peer's connections are refused for 5 s.
//   - R and F are sent together, F=0 of a peer is not looked at.
//   - A reflector that restarts tells its first client End-of-RIB before the
//     others are back, so that this client loses their routes until they are,
//     unless another reflector has them.
//   - Reflectors must not peer with each other; NO_EXPORT, NO_ADVERTISE and
//     GRACEFUL_SHUTDOWN have no effect.
//   - On a reflector, a pool that is not exported is not accepted either.
//
// The server's goroutine cannot be ended; a stopped Speaker leaves one behind.
package gobgp
