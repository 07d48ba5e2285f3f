// Package bgp holds the nouns of BGP, the ports of a BGP speaker, and what can
// be decided about BGP without sending a byte: which sessions a node has
// (Sessions, with the settings that they inherit), who reflects for whom
// (Grouping), which sessions may end (Rely) or are drained (Drained), which path
// is best (Best), what may be imported and exported (ImportPolicy, ExportPolicy,
// Filter), and which gateways paths lead to (Routes).
//
// It keeps true that the same nodes, peers, pools and settings always give the
// same sessions in the same order, that a path whose next hop is ourselves is
// not used, and that, but where a filter says otherwise, nothing outside a pool
// crosses a session and a host is never transit between two of its peers.
//
// It does no I/O and owns no goroutine; the only state is that of a RIB or
// Routes value. A Speaker owns its sessions and its RIB; the caller owns what it
// wants and may say it again at any time. The FIB is not known here.
//
// RFC 4271 (BGP-4), RFC 4456 (reflection), RFC 4724 (graceful restart), RFC
// 4760 (multiprotocol), RFC 6793 (four-octet AS numbers).
package bgp
