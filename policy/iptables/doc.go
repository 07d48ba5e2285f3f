// Package iptables is the policy.Dataplane on iptables and ipset, in both
// flavours: iptables-nft and iptables-legacy.
//
// A policy is one chain per direction and table, wherever it is used. Allow
// and Pass set a bit of the mark and return; the chain of a pipeline looks at
// the bits after each policy that can set them. Interfaces lead to pipelines
// by trees of prefixes. Members are in ipsets, changed over netlink: no rule
// depends on them. What we let through returns to the rules of others.
//
// What it keeps true: a table and family changes in one COMMIT, by a process
// of iptables-restore; sets grow before rules change, and shrink after; every
// rule carries a hash of itself in its comment, so that a process that starts
// takes over what is right, and a change leaves alone the rules that stay,
// which go on counting; chains and sets of others are never touched,
// but for one jump at the top of the kernel's own chains. iptables tells nothing
// of changes by others: Sync finds and repairs them, which a policy.Table calls
// every policy.DefaultReadBack.
package iptables
