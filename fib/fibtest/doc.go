// Package fibtest has what tests of routes need: a kernel in memory that is as
// strict as the real one, a text form of what a kernel holds, and the suite
// that every kernel port and the table over it must pass.
//
// [Kernel] refuses what Linux refuses (a taken slot, a group in the place of
// an object, a next hop on a link that is down, an unreachable gateway) and
// keeps silent where Linux does: IPv4 routes that go with a link, an address
// or a next-hop object go without an event. It is used by tests only.
package fibtest
