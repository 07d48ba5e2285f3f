package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The kinds of refusals. Test with errors.Is; errors.As gets the details.
var (
	ErrNoPool         = errors.New("no pool is for this request")       // *NoPoolError
	ErrBlockLimit     = errors.New("limit of blocks reached")           // *ExhaustedError
	ErrStrictAffinity = errors.New("strict affinity forbids borrowing") // *ExhaustedError
	ErrNoAutoAllocate = errors.New("blocks are not claimed by themselves")
	ErrHostLocal      = errors.New("the node uses assigned blocks only") // *ExhaustedError, *BlockError
	ErrPoolsExhausted = errors.New("pools have no free address")
	ErrAddressInUse   = errors.New("address in use")                // *InUseError
	ErrNotInPool      = errors.New("address is in no pool")         // *AddressError
	ErrNotAllocated   = errors.New("nobody holds the address")      // *AddressError
	ErrStale          = errors.New("address was given out again")   // *StaleError
	ErrNoHandle       = errors.New("no such handle")                // *HandleError
	ErrHandleOwner    = errors.New("handle has another owner")      // *HandleError
	ErrHandleInUse    = errors.New("handle is needed by its owner") // *HandleError
	ErrPoolInUse      = errors.New("pool in use")                   // *PoolInUseError
	ErrBlockInUse     = errors.New("in use")                        // *BlockError
	ErrBadBlock       = errors.New("not a block of a pool")         // *BlockError
	ErrBadRequest     = errors.New("bad request")                   // *RequestError
)

// PoolReason is why a pool gives nothing to a request.
type PoolReason struct {
	Pool, Reason string

	family bool // it is of the other family
}

// NoPoolError is a request that no pool is for.
type NoPoolError struct {
	Family Family // zero: either would do
	Node   string
	Pools  []PoolReason // of this family
}

// Error names each pool with its reason.
func (e *NoPoolError) Error() string {
	family := ""
	if e.Family != 0 {
		family = " of " + e.Family.String()
	}
	if len(e.Pools) == 0 {
		return fmt.Sprintf("%v: there is no IPPool%s", ErrNoPool, family)
	}
	var why []string
	for _, p := range e.Pools {
		why = append(why, p.Pool+": "+p.Reason)
	}
	return fmt.Sprintf("%v%s on node %s (%s)", ErrNoPool, family, e.Node, strings.Join(why, "; "))
}

// Either is the refusal of a request for an address of any family, of the
// refusals of both. A pool that both name has the reason of its own family.
func (e *NoPoolError) Either(other *NoPoolError) *NoPoolError {
	both := &NoPoolError{Node: e.Node}
	for _, p := range slices.Concat(e.Pools, other.Pools) {
		i := slices.IndexFunc(both.Pools, func(have PoolReason) bool { return have.Pool == p.Pool })
		switch {
		case i < 0:
			both.Pools = append(both.Pools, p)
		case both.Pools[i].family:
			both.Pools[i] = p
		}
	}
	return both
}

// Unwrap returns ErrNoPool.
func (e *NoPoolError) Unwrap() error { return ErrNoPool }

// ExhaustedError is a request that got fewer addresses than it wanted.
type ExhaustedError struct {
	Kind        error // ErrBlockLimit, ErrStrictAffinity, ErrNoAutoAllocate, ErrHostLocal or ErrPoolsExhausted
	Family      Family
	Node        string
	Pools       []string // that were asked
	Wanted, Got int
	Blocks      int // of the family that the node has
	Limit       int // of blocks
	Reserved    int // addresses of the node's blocks held back by reservations or cooldown
}

// Error says what ran out.
func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("%d of %d %s addresses for node %s from pools [%s]: %v: %s",
		e.Got, e.Wanted, e.Family, e.Node, strings.Join(e.Pools, " "), e.Kind, e.Help())
}

// Unwrap returns the kind.
func (e *ExhaustedError) Unwrap() error { return e.Kind }

// Help says what would help.
func (e *ExhaustedError) Help() string {
	var help string
	switch {
	case errors.Is(e.Kind, ErrBlockLimit):
		help = fmt.Sprintf("the node has %d blocks of at most %d: raise maxBlocksPerHost or the limit of the request, or free addresses", e.Blocks, e.Limit)
	case errors.Is(e.Kind, ErrStrictAffinity):
		help = "every block belongs to a host: add a pool, or let hosts borrow what others have free (strictAffinity: false)"
	case errors.Is(e.Kind, ErrNoAutoAllocate):
		help = "assign a block to the node, or set autoAllocateBlocks: true"
	case errors.Is(e.Kind, ErrHostLocal) && e.Blocks == 0:
		help = "none of them is of these pools: assign it one"
	case errors.Is(e.Kind, ErrHostLocal):
		help = "assign it another one, free addresses, or take its assigned blocks from it, so that it claims again"
	default:
		help = "add a pool, or free addresses"
	}
	if e.Reserved > 0 {
		help += fmt.Sprintf(" (%d addresses of its blocks are reserved or cooling)", e.Reserved)
	}
	return help
}

// AddressError is about an address. It wraps ErrNotInPool or ErrNotAllocated.
type AddressError struct {
	Kind    error
	Address netip.Addr
}

// Error names the address.
func (e *AddressError) Error() string { return fmt.Sprintf("%s: %v", e.Address, e.Kind) }

// Unwrap returns the kind.
func (e *AddressError) Unwrap() error { return e.Kind }

// InUseError is an address that another handle holds.
type InUseError struct{ Holding }

// Error names the holder.
func (e *InUseError) Error() string {
	return fmt.Sprintf("%s: %v by handle %s", e.Address, ErrAddressInUse, e.Handle)
}

// Unwrap returns ErrAddressInUse.
func (e *InUseError) Unwrap() error { return ErrAddressInUse }

// StaleError is a release of an address that is held otherwise than the caller
// believes.
type StaleError struct {
	Holding
	WantHandle   string // empty: any
	WantSequence uint64 // zero: any
}

// Error names who holds it, and what differs.
func (e *StaleError) Error() string {
	var not []string
	if e.WantHandle != "" && e.WantHandle != e.Handle {
		not = append(not, "handle "+e.WantHandle)
	}
	if e.WantSequence != 0 && e.WantSequence != e.Sequence {
		not = append(not, fmt.Sprintf("sequence number %d", e.WantSequence))
	}
	return fmt.Sprintf("%s: %v: held by handle %s with sequence number %d, not %s",
		e.Address, ErrStale, e.Handle, e.Sequence, strings.Join(not, ", "))
}

// Unwrap returns ErrStale.
func (e *StaleError) Unwrap() error { return ErrStale }

// HandleError is about a handle. It wraps ErrNoHandle, ErrHandleOwner or
// ErrHandleInUse.
type HandleError struct {
	Kind  error
	ID    string
	Owner Owner // that it has
}

// Error names the handle.
func (e *HandleError) Error() string {
	if errors.Is(e.Kind, ErrHandleOwner) {
		return fmt.Sprintf("handle %s: %v: %s", e.ID, e.Kind, e.Owner)
	}
	return fmt.Sprintf("handle %s: %v", e.ID, e.Kind)
}

// Unwrap returns the kind.
func (e *HandleError) Unwrap() error { return e.Kind }

// BlockError is about a block. It wraps ErrBlockInUse, ErrBadBlock or
// ErrHostLocal.
type BlockError struct {
	Kind   error
	CIDR   netip.Prefix
	Reason string
}

// Error names the block and the reason.
func (e *BlockError) Error() string { return fmt.Sprintf("block %s: %v: %s", e.CIDR, e.Kind, e.Reason) }

// Unwrap returns the kind.
func (e *BlockError) Unwrap() error { return e.Kind }

// RequestError is everything that is wrong with a request.
type RequestError struct{ Problems []Problem }

// Error lists the problems.
func (e *RequestError) Error() string {
	var text []string
	for _, p := range e.Problems {
		text = append(text, p.Path+": "+p.Reason)
	}
	return fmt.Sprintf("%v: %s", ErrBadRequest, strings.Join(text, "; "))
}

// Unwrap returns ErrBadRequest.
func (e *RequestError) Unwrap() error { return ErrBadRequest }
