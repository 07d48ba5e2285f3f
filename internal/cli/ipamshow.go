package cli

import (
	"context"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) ipamShowCommand() *cobra.Command {
	var output string
	request := &vrouterv1.ShowRequest{}
	c := &cobra.Command{
		Use:   "show [--blocks | --ip ADDRESS | --handle HANDLE]",
		Short: "Show how much of each pool is in use, or who holds what",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "table", formatYAML, formatJSON)
			if err != nil {
				return err
			}
			return a.ipamShow(cmd.Context(), request, f)
		},
	}
	c.Flags().BoolVar(&request.Blocks, "blocks", false, "show the blocks of each pool")
	c.Flags().StringVar(&request.Ip, "ip", "", "show all that is known of an `address`")
	c.Flags().StringVar(&request.Handle, "handle", "", "show what a `handle` holds")
	c.MarkFlagsMutuallyExclusive("blocks", "ip", "handle")
	bindOutput(c, &output, "table", formatYAML, formatJSON)
	return c
}

func (a *app) ipamShow(ctx context.Context, request *vrouterv1.ShowRequest, f format) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	m, err := c.addresses.Show(ctx, request)
	switch {
	case err != nil:
		return err
	case f != formatTable:
		return a.writeMessage(f, m)
	case m.GetAddress() != nil:
		a.writeHolder(m.GetAddress())
		return nil
	case m.GetHandle() != nil:
		return a.writeHoldings(m.GetHandle())
	}
	if err := a.writeUsage(m.GetPools()); err != nil || !request.GetBlocks() {
		return err
	}
	a.line("")
	t := a.newTable(false, "pool", "block", flexible+"affinity", "state", "in use", "free")
	for _, p := range m.GetPools() {
		for _, b := range p.GetBlock() {
			t.add(p.GetPool(), b.GetCidr(), or(b.GetAffinity(), "-"), or(b.GetState(), "-"),
				strconv.Itoa(int(b.GetInUse())), strconv.Itoa(int(b.GetFree())))
		}
	}
	return t.flush(a.Out)
}

// writeUsage prints how much of each pool is in use. What is free counts the
// addresses of which there is no block yet.
func (a *app) writeUsage(pools []*vrouterv1.PoolUsage) error {
	t := a.newTable(false, flexible+"pool", "cidr", "addresses", "in use", "free", "blocks")
	for _, p := range pools {
		total := sizeOf(p.GetCidr())
		free := new(big.Int).Sub(total, big.NewInt(p.GetInUse()))
		t.add(p.GetPool(), p.GetCidr(), shortNumber(total), strconv.FormatInt(p.GetInUse(), 10),
			shortNumber(free), strconv.Itoa(int(p.GetBlocks())))
	}
	return t.flush(a.Out)
}

// sizeOf returns how many addresses a range has.
func sizeOf(cidr string) *big.Int {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return new(big.Int)
	}
	return new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
}

// shortNumber renders what is too long to be read as a power of ten.
func shortNumber(n *big.Int) string {
	if n.IsInt64() {
		return n.String()
	}
	return new(big.Float).SetInt(n).Text('g', 4)
}

func (a *app) writeHolder(h *vrouterv1.AddressHolder) {
	a.line("address    %s", h.GetAddress())
	a.line("pool       %s", or(h.GetPool(), "none"))
	a.line("block      %s", or(h.GetBlock(), "none"))
	if h.GetBlock() != "" {
		a.line("affinity   %s", or(h.GetAffinity(), "nobody"))
	}
	if h.GetHandle() == "" {
		a.line("handle     none: it is free")
	} else {
		a.line("handle     %s", h.GetHandle())
		a.line("sequence   %d", h.GetSequence())
		a.line("owner      %s", or(strings.TrimSpace(h.GetOwnerKind()+" "+h.GetOwner()), "unknown"))
	}
	keys := make([]string, 0, len(h.GetAttributes()))
	for key := range h.GetAttributes() {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		a.line("%-10s %s", key, h.GetAttributes()[key])
	}
	if h.GetEndpoint() != "" {
		a.line("endpoint   %s", h.GetEndpoint())
	}
}

func (a *app) writeHoldings(h *vrouterv1.HandleHoldings) error {
	a.line("handle   %s", h.GetHandle())
	a.line("owner    %s", or(strings.TrimSpace(h.GetOwnerKind()+" "+h.GetOwner()), "unknown"))
	a.line("")
	t := a.newTable(false, "address", "block", flexible+"pool", "sequence")
	for _, held := range h.GetAllocations() {
		t.add(held.GetAddress(), held.GetBlock(), held.GetPool(), strconv.FormatUint(held.GetSequence(), 10))
	}
	return t.flush(a.Out)
}
