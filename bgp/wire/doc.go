// Package wire turns the bytes of BGP into values and back: framing, OPEN,
// UPDATE, NOTIFICATION, KEEPALIVE and ROUTE-REFRESH. It does no I/O besides
// reading from an io.Reader, owns no goroutine and keeps nothing between
// messages but buffers; who calls owns those, and they are not safe for
// concurrent use.
//
// It keeps true that no input panics or is read past its end, that each UPDATE
// gets exactly one Verdict of RFC 7606 (a reset only where an RFC says so),
// that what Update hands out is checked, and that parsing an UPDATE of plain
// IPv4 and IPv6 unicast allocates nothing.
//
// Path attributes travel through a speaker as raw bytes in canonical form: in
// ascending order of type, none twice, four-octet AS numbers, nothing that was
// to be discarded, the next hop of the announcement's family as NEXT_HOP (4, 16
// or 32 octets), MP_REACH_NLRI and MP_UNREACH_NLRI left out. Equal sets from
// any peer over any session are then mostly equal bytes: a key to intern them
// by, parsed once (ParseAttributes) and sent on by editing bytes (AppendReflected,
// AppendExternal).
//
// Which family, path identifiers or message size a session has is decided by
// its OPENs (Negotiate). Whether a route is wanted, loops, or leads anywhere is
// not decided here.
//
// RFC 4271, 4456, 4486, 4724, 4760, 5492, 6286, 6608, 6793, 7313, 7606, 7607,
// 7911, 8092, 8538, 8654, 8950, 9003, 9072, 9234, 9384, 9494, 9687.
package wire
