package ipam

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/internal/store"
)

// Use is what an address is for.
type Use string

// The uses of addresses.
const (
	UseWorkload     Use = "Workload"
	UseTunnel       Use = "Tunnel"
	UseLoadBalancer Use = "LoadBalancer"
)

// Pool is what address management needs to know of an IPPool.
type Pool struct {
	Name      string
	CIDR      netip.Prefix
	BlockSize int  // prefix length of a block
	Disabled  bool // no new addresses, but those assigned by name
	Manual    bool // assignmentMode: addresses only to who names the pool
	Uses      []Use
	// NodeSelector and NamespaceSelector choose who gets addresses without
	// naming the pool; nil chooses everybody.
	NodeSelector      *selector.Selector
	NamespaceSelector *selector.Selector

	// Key of the stored IPPool, and the revision that this is of: a new block
	// is made only while it holds, so that no pool goes or changes under it.
	// Empty: not compared.
	Key      string
	Revision int64
}

// allows tells whether the pool has addresses for a use. Nothing said means
// workloads and tunnels, as in Calico.
func (p *Pool) allows(use Use) bool {
	if len(p.Uses) == 0 {
		return use != UseLoadBalancer
	}
	return slices.Contains(p.Uses, use)
}

func (p *Pool) selectsNode(node string, labels map[string]string) bool {
	return p.NodeSelector == nil || AffinityOf(node).Virtual() || p.NodeSelector.Matches(labels)
}

func (p *Pool) selectsNamespace(labels map[string]string) bool {
	return p.NamespaceSelector == nil || p.NamespaceSelector.Matches(labels)
}

// blockOf returns the block that an address of the pool lies in.
func (p *Pool) blockOf(a netip.Addr) netip.Prefix {
	return netip.PrefixFrom(a, p.BlockSize).Masked()
}

// MaxCooldown is the longest time that a released address may be held back.
const MaxCooldown = 1200 * time.Second

// Config is the IPAMConfiguration.
type Config struct {
	StrictAffinity   bool          // a host uses its own blocks only
	NoAutoAllocate   bool          // autoAllocateBlocks is false: blocks are assigned, never claimed
	MaxBlocksPerHost int           // of a family; zero: not given
	Cooldown         time.Duration // for which a released address is held back
}

// Problem is something wrong with a setting, by its path in the manifest.
type Problem struct{ Path, Reason string }

// Check returns what is wrong with the settings.
func (c Config) Check() []Problem {
	var bad []Problem
	if c.NoAutoAllocate && !c.StrictAffinity {
		bad = append(bad, Problem{"spec.autoAllocateBlocks", "false needs strictAffinity: hosts without blocks would borrow every address"})
	}
	if c.MaxBlocksPerHost < 0 {
		bad = append(bad, Problem{"spec.maxBlocksPerHost", fmt.Sprintf("%d is negative", c.MaxBlocksPerHost)})
	}
	if c.MaxBlocksPerHost > 0 && !c.StrictAffinity {
		bad = append(bad, Problem{"spec.maxBlocksPerHost", "needs strictAffinity: hosts at the limit would borrow instead"})
	}
	if c.Cooldown < 0 || c.Cooldown > MaxCooldown {
		bad = append(bad, Problem{"spec.ipCooldownSeconds", fmt.Sprintf("%s is not between 0 and %s", c.Cooldown, MaxCooldown)})
	}
	return bad
}

// limit returns how many blocks of a family a host may have.
func (c Config) limit(request int) int {
	limit := cmp.Or(c.MaxBlocksPerHost, request, resource.DefaultMaxBlocks)
	if request > 0 {
		limit = min(limit, request)
	}
	return limit
}

// Env is everything but the store's content that a step depends on.
type Env struct {
	Pools        []Pool // disjoint
	Config       Config
	Reservations []netip.Prefix // never given out by themselves
	Now          time.Time

	// Guards hold as long as the rest does, but for the time. Whatever is
	// written depends on them. None: the rest was read just now.
	Guards []store.Compare
}

// poolOf returns the pool that an address lies in, or nil.
func (e *Env) poolOf(a netip.Addr) *Pool {
	for i := range e.Pools {
		if e.Pools[i].CIDR.Contains(a) {
			return &e.Pools[i]
		}
	}
	return nil
}

// poolOfBlock returns the pool that a block is of, or nil.
func (e *Env) poolOfBlock(b netip.Prefix) *Pool {
	p := e.poolOf(b.Addr())
	if p == nil || p.CIDR.Bits() > b.Bits() {
		return nil
	}
	return p
}

// usable tells whether a free address may be given out by itself.
func (e *Env) usable(b *Block, i idle) bool {
	if i.cooling(e.Now, e.Config.Cooldown) {
		return false
	}
	return !e.Reserved(b.Addr(int(i.ordinal)))
}

// Reserved tells whether an address is given only to who names it.
func (e *Env) Reserved(a netip.Addr) bool {
	return slices.ContainsFunc(e.Reservations, func(r netip.Prefix) bool { return r.Contains(a) })
}

// keptOf counts the addresses of a pool that are reserved.
func (e *Env) keptOf(pool netip.Prefix) *big.Int {
	var inside []netip.Prefix
	for _, r := range e.Reservations {
		if r.Bits() < pool.Bits() && r.Contains(pool.Addr()) {
			r = pool
		}
		if pool.Contains(r.Addr()) {
			inside = append(inside, r)
		}
	}
	slices.SortFunc(inside, netip.Prefix.Compare) // what lies in another follows it
	sum := new(big.Int)
	var last netip.Prefix
	for _, r := range inside {
		if last.IsValid() && last.Contains(r.Addr()) {
			continue
		}
		last = r
		sum.Add(sum, new(big.Int).Lsh(big.NewInt(1), uint(r.Addr().BitLen()-r.Bits())))
	}
	return sum
}

// SplitPool cuts a pool into n pools of equal size, named NAME-0 and on. n is
// a power of two, and a block must fit into each. Blocks stay as they are.
func SplitPool(pool Pool, n int) ([]Pool, error) {
	if n < 2 || n&(n-1) != 0 {
		return nil, fmt.Errorf("split pool %s: %d is not a power of two above one", pool.Name, n)
	}
	parts := []netip.Prefix{pool.CIDR}
	for len(parts) < n {
		if parts[0].Bits() >= pool.BlockSize { // a disabled pool may be smaller than a block
			return nil, fmt.Errorf("split pool %s: %d parts of %s would be smaller than a block (/%d): %w",
				pool.Name, n, pool.CIDR, pool.BlockSize, errors.ErrUnsupported)
		}
		var next []netip.Prefix
		for _, p := range parts {
			h := halves(p)
			next = append(next, h[0], h[1])
		}
		parts = next
	}
	out := make([]Pool, n)
	for i, p := range parts {
		out[i] = pool
		out[i].Name, out[i].CIDR = fmt.Sprintf("%s-%d", pool.Name, i), p
		out[i].Key, out[i].Revision = "", 0
	}
	return out, nil
}
