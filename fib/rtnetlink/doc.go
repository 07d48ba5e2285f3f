// Package rtnetlink is the fib.Kernel port over rtnetlink (RFC 3549 and the
// kernel's include/uapi/linux/rtnetlink.h, nexthop.h).
//
// Routes and next-hop objects are written by messages of our own making: up to
// a thousand in one send, an acknowledgement asked for the last alone, so that
// only failures and the end come back. Dumps are strict (the kernel filters by
// table) and parsed as they come. Events come on a socket of their own with a
// large buffer and a filter in the kernel that drops the echoes of our writes.
//
// It keeps no state but its sockets, which stay in the network namespace in
// which they were opened, and takes no decision: what may be written over is
// the business of package fib. Errors carry the kernel's own words
// (NETLINK_EXT_ACK).
package rtnetlink
