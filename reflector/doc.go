// Package reflector is what a route reflector (RFC 4456) does beyond speaking
// BGP: it checks who may announce what.
//
// With the store at hand a reflector knows which host each endpoint is on, and
// whose each block of addresses is. It refuses either from any other host, what
// is neither, and what is left of a host that is dead. BGP outruns the store's watch, so what is
// refused stays known to the engine, and is judged again when the store moves;
// and while the store is away, or has not told everything, nothing is refused
// that was not refused before.
//
// The package does no I/O and starts nothing. Whoever follows the store and the
// sessions hands over a State, and asks for what is worth a line in the log.
package reflector
