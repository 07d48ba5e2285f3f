// Package fib keeps the kernel's forwarding table equal to what the sources of
// routes want: local workloads, the overlay, BGP, and the blackholes of owned
// blocks. For each prefix the first of these that can be realised wins.
//
// What it keeps true: the slot (prefix, own metric) of each wanted prefix holds
// our route; what others change is repaired at once through netlink events, and
// by a read-back now and then. Learned routes name a next-hop group, so that a
// next hop that moves costs one message and no route. A route of ours is known
// by its protocol number, one per source, also by a process just started.
//
// What it does not do: routes, next-hop objects and slots of others are never
// touched; nothing is removed before [Table.Done] has opened the sweep of its
// source and family; stopping removes nothing. It sets up no interface.
//
// [Table] owns all state under one mutex that is never held across a call of
// the [Kernel] port; fib/rtnetlink is that port over netlink, fib/fibtest a
// kernel in memory. Next hops across families are those of RFC 8950.
package fib
