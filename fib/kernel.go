package fib

import (
	"context"
	"errors"
	"net/netip"
)

// Errors of the Kernel port that Table acts upon. Others are reported and
// tried again.
var (
	// ErrExists: Create found the slot or the object id taken.
	ErrExists = errors.New("already there")
	// ErrOverrun: events were lost; what was observed may be out of date.
	ErrOverrun = errors.New("kernel events were lost")
)

// Kernel is the port to one kernel's forwarding state: one network namespace.
// Apply and Read are called by one goroutine at a time, Watch by another.
type Kernel interface {
	// Read reports what there is, in this order: links, addresses, next-hop
	// objects, the routes of the table. It may report a thing twice when it
	// changes meanwhile.
	Read(ctx context.Context, table uint32, o Observer) error

	// Watch calls ready once, when nothing that happens from then on can be
	// missed, then reports what others change until ctx is done (nil) or
	// events were lost (ErrOverrun). Changes by Apply are not reported; nor
	// does the kernel report everything, see [Table].
	Watch(ctx context.Context, table uint32, ready func(), o Observer) error

	// Apply makes changes in their order. It returns nil when all were made,
	// else one error per change, nil where it was made. What is deleted but
	// not there is no error. ctx is looked at between batches. When it returns,
	// Watch has reported all that others did before: what Watch reports later
	// is younger than the changes.
	Apply(ctx context.Context, changes []Change) []error

	// HasObjects reports whether the kernel has next-hop objects (Linux 5.3).
	HasObjects() bool
}

// Observer is told of kernel state. Values are its own to keep, except slices
// inside them, which are valid during the call only.
type Observer interface {
	ObserveLink(Link, Presence)
	ObserveAddress(Address, Presence)
	ObserveObject(Object, Presence)
	ObserveEntry(Entry, Presence)
}

// Presence says how an observed thing came about.
type Presence uint8

// The ways in which a thing comes to be observed.
const (
	Present   Presence = iota // it is there, beside others
	Replacing                 // it is there, in place of the first in its slot
	Gone                      // it was removed
)

// Kind is the type of an Entry.
type Kind uint8

// The kinds of entries.
const (
	KindUnicast   Kind = iota // forwards to its next hops
	KindBlackhole             // drops silently
	KindOther                 // anything else: local, unreachable, …; never written
)

// Entry is a route in the kernel's own terms.
type Entry struct {
	Prefix   netip.Prefix
	Table    uint32
	Metric   uint32
	Protocol uint8
	TOS      uint8 // IPv4 only; we write 0
	Kind     Kind
	Object   uint32     // id of its next-hop object or group; 0 is none
	Hops     []Hop      // in any order; for an Object as far as the kernel tells
	Src      netip.Addr // preferred source, or none
}

// Hop is one next hop of an Entry.
type Hop struct {
	Gateway netip.Addr // invalid: the destination is on the link
	Index   int32      // of the interface
	Onlink  bool       // the gateway is on the link although no route says so
	Weight  uint8      // share among several, less 1: 0 is one share
}

// Object is a next-hop object, or a group of objects.
type Object struct {
	ID       uint32
	Protocol uint8
	Family   Family // of the object; groups have none
	Hop      Hop    // unless it is a group; Weight is unused
	Group    []Member
	IsGroup  bool
	Other    bool // something that we would not write: encapsulation, blackhole, …
}

// Member is one object of a group.
type Member struct {
	ID     uint32
	Weight uint8 // less 1
}

// Link is a network interface.
type Link struct {
	Index   int32
	Name    string
	Up      bool // administratively up: takes plain routes
	Carrier bool // up, and the lower layer too: takes next-hop objects
}

// Address is an address of this host.
type Address struct {
	Addr  netip.Addr
	Index int32
}

// Op is what a Change does.
type Op uint8

const (
	// Create fails with ErrExists when the slot (prefix, table, metric, TOS)
	// or the object id is taken, by whomever.
	Create Op = iota
	// Replace puts Entry or Object in the place of what is first in the slot;
	// an empty slot is filled. Only for what is known to be ours.
	Replace
	// Delete removes the entry of that prefix, table, metric, TOS and
	// protocol; with Hops or Object set only one that has just these. For an
	// object it removes the id, and with it what refers to it.
	Delete
)

// Change is one write: of Object if set, else of Entry.
type Change struct {
	Op     Op
	Entry  Entry
	Object *Object
}
