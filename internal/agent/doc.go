// Package agent is the joint of a host: the only place that knows more than one
// engine. It is a list of edges, one task each, that carry state from one
// engine to the next and decide nothing themselves:
//
//	feed       store → view, and whether the store is the one we knew
//	node       configuration and host → our own Node, and our lease
//	workloads  local endpoints → routes → originations → stages
//	ownBlocks  store → which blocks the node owns
//	blocks     owned blocks → blackholes → originations, in the same task
//	sessions   fabric → BGP sessions, pools, drain; retire keeps those that
//	           others still rely on
//	reflection store and sessions → what a reflector lets pass
//	blockOwners store → whose each block is, where origins are checked
//	reports    a reflector's sessions → what the controller reads
//	learned    best paths → routes
//	policing   all objects → what the kernel enforces; workloads wait for it
//	firewalls  settings in force → accepts among the rules of others; their drops → status
//	cutting    what the kernel enforces → connections that it no longer allows
//	sweep      End-of-RIB and clocks → permission to remove
//	status     stages → the store
//	localCopy  view → local copy of the last state in sync
//
// A reflector has the same edges but those that touch the kernel. The order of
// a start is that of bringup.go. Stopping removes nothing and says nothing to
// peers: routes and graceful restart stay for the successor.
//
// The agent imports no driver; cmd plugs them in.
package agent
