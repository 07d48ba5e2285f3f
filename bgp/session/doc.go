// Package session is the transport and the finite state machine of BGP
// sessions: it listens, dials, settles collisions, exchanges OPENs, keeps the
// timers, and hands UPDATEs to whoever holds the routes, as raw bytes.
//
// It keeps true that a session has one established connection at most, that a
// Handler hears of one connection's end before the next one's beginning, that
// messages are never torn by a KEEPALIVE or NOTIFICATION, and that nothing a
// peer sends or leaves unsent holds up another session: every session has
// goroutines of its own, and none of them waits for a peer without a limit.
//
// The state machine (machine) is a pure function, owned by one goroutine of
// the session; a connection's reader asks it what a message means and does the
// I/O. Once established it is not asked for UPDATE and KEEPALIVE. Timers are
// not reset by messages: they look at when one came last and sleep on. A
// session that has nothing to read holds no buffer.
//
// It knows no route and parses no UPDATE; who may connect, and what is offered
// in an OPEN, is asked of the engine.
//
// RFC 4271 §6, §8, 4486, 4724 §4, 5082 (GTSM), 2385 (MD5), 6286, 6608, 8538,
// 9003, 9687.
package session
