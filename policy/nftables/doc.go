// Package nftables is the policy.Dataplane on nftables: one table of family
// inet in one network namespace, over one lasting netlink socket.
//
// A policy is one chain per direction, wherever it is used: Allow is accept,
// which ends a stage and not the evaluation, because the stages of a hook
// (ingress of host endpoints, egress and ingress of workloads, egress of host
// endpoints) are base chains one after the other. Interfaces lead to the
// pipelines by verdict maps. Members of all sets are in a few hash sets of the
// kernel, by family and length of prefix, so that a change of a member costs
// the same at any size and touches no rule.
//
// What it keeps true: every change is one transaction; a rule is known again
// by a hash of its text in its comment, so that a process that starts takes
// over what is right; an interface that is named like a workload's and is no
// endpoint's passes nothing; where the kernel can, the table is ours alone
// while we live and stays when we do not.
package nftables
