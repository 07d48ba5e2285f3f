package cli

import (
	"context"
	"fmt"
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
	var held heldOptions
	var settings bool
	request := &vrouterv1.ShowRequest{}
	c := &cobra.Command{
		Use:   "show [--blocks | --addresses [--borrowed] [--pool POOL] | --ip ADDRESS | --handle HANDLE | --configuration]",
		Short: "Show how much of each pool is in use, or who holds what",
		Long: `Show how much of each pool is in use, or who holds what. What is free of a pool
counts addresses of which there is no block yet, and none that are reserved.

A borrowed address is of a block of another node than the one that its endpoint
is on: that node had no block with a free address, and could claim none.`,
		Example: `  vrouterctl ipam show --addresses --pool old     # who is still in a pool that is to go
  vrouterctl ipam show --ip 10.65.0.9`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "table", formatYAML, formatJSON)
			if err != nil {
				return err
			}
			if err := oneOf(cmd, "blocks", "addresses", "ip", "handle", "configuration"); err != nil {
				return err
			}
			for name, value := range map[string]string{"ip": request.Ip, "handle": request.Handle} {
				if cmd.Flags().Changed(name) && value == "" {
					return usagef("--%s is empty", name)
				}
			}
			switch {
			case !held.addresses && (held.borrowed || held.pool != ""):
				return usagef("--borrowed and --pool go with --addresses")
			case settings:
				return a.ipamSettings(cmd.Context(), f)
			case held.addresses && f != formatTable:
				return usagef("--addresses is shown as a table; 'get ipamblocks -o %s' has them, too", output)
			case held.addresses:
				return a.ipamAddresses(cmd.Context(), &held)
			}
			return a.ipamShow(cmd.Context(), request, f)
		},
	}
	c.Flags().BoolVar(&request.Blocks, "blocks", false, "show the blocks of each pool")
	c.Flags().BoolVar(&held.addresses, "addresses", false, "show every address that is held")
	c.Flags().BoolVar(&held.borrowed, "borrowed", false, "of these the borrowed ones")
	c.Flags().StringVar(&held.pool, "pool", "", "of these those of an `IPPool`")
	c.Flags().StringVar(&request.Ip, "ip", "", "show all that is known of an `address`")
	c.Flags().StringVar(&request.Handle, "handle", "", "show what a `handle` holds")
	c.Flags().BoolVar(&settings, "configuration", false, "show the settings that 'ipam configure' changes, with those that nobody has set")
	for flag, complete := range map[string]cobra.CompletionFunc{
		"ip": cobra.NoFileCompletions, "handle": a.completeHandles, "pool": a.completePools} {
		_ = c.RegisterFlagCompletionFunc(flag, complete) // the flags exist
	}
	bindOutput(c, &output, "table", formatYAML, formatJSON)
	return c
}

// oneOf refuses more than one of some flags.
func oneOf(cmd *cobra.Command, names ...string) error {
	first := ""
	for _, name := range names {
		if !cmd.Flags().Changed(name) {
			continue
		}
		if first != "" {
			return usagef("--%s goes without --%s", name, first)
		}
		first = name
	}
	return nil
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
			state := or(b.GetState(), "-")
			if b.GetAssigned() {
				state += ", assigned"
			}
			t.add(p.GetPool(), b.GetCidr(), or(b.GetAffinity(), "-"), state,
				strconv.Itoa(int(b.GetInUse())), strconv.Itoa(int(b.GetFree())))
		}
	}
	return t.flush(a.Out)
}

// writeUsage prints how much of each pool is in use. What is free counts the
// addresses of which there is no block yet.
func (a *app) writeUsage(pools []*vrouterv1.PoolUsage) error {
	if len(pools) == 0 {
		fmt.Fprintln(a.Err, "There is no IPPool: 'vrouterctl apply -f' one")
		return nil
	}
	t := a.newTable(false, flexible+"pool", "cidr", "addresses", "in use", "free", "blocks", "remark")
	for _, p := range pools {
		total, used := sizeOf(p.GetCidr()), big.NewInt(p.GetInUse())
		free := new(big.Int).Sub(total, used)
		var remarks []string
		if p.GetDisabled() {
			remarks = append(remarks, "disabled")
		}
		if p.GetManual() {
			remarks = append(remarks, "Manual")
		}
		if reserved, ok := new(big.Int).SetString(p.GetReserved(), 10); ok && reserved.Sign() > 0 {
			free.Sub(free, reserved)
			remarks = append(remarks, shortNumber(reserved)+" reserved")
		}
		t.add(p.GetPool(), p.GetCidr(), shortNumber(total), shortNumber(used)+percent(used, total),
			shortNumber(free), strconv.Itoa(int(p.GetBlocks())), strings.Join(remarks, ", "))
	}
	return t.flush(a.Out)
}

// percent renders what part of a total is, where it can be seen.
func percent(part, total *big.Int) string {
	if part.Sign() == 0 || total.Sign() == 0 {
		return ""
	}
	n := new(big.Int).Div(new(big.Int).Mul(part, big.NewInt(100)), total)
	if n.Sign() == 0 {
		return ""
	}
	return " (" + n.String() + "%)"
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
	switch {
	case h.GetHandle() != "":
		a.line("handle     %s", h.GetHandle())
		a.line("sequence   %d", h.GetSequence())
		a.line("owner      %s", ownerText(h.GetOwnerKind(), h.GetOwner()))
	case h.GetPool() == "":
		a.line("handle     none: it is in no pool")
	case h.GetReserved():
		a.line("handle     none: it is reserved, for who names it")
	case h.GetCoolingUntil() != "":
		a.line("handle     none: it was released a moment ago, and is held back until %s", h.GetCoolingUntil())
	default:
		a.line("handle     none: it is free")
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
		a.line("endpoint   %s", keyName(h.GetEndpoint()))
	}
	if h.GetNode() != "" {
		borrowed := ""
		if from := lender(h.GetAffinity(), h.GetNode()); from != "" {
			borrowed = ", borrowed from " + from
		}
		a.line("node       %s%s", h.GetNode(), borrowed)
	}
}

func (a *app) writeHoldings(h *vrouterv1.HandleHoldings) error {
	a.line("handle   %s", h.GetHandle())
	a.line("owner    %s", ownerText(h.GetOwnerKind(), h.GetOwner()))
	a.line("")
	t := a.newTable(false, "address", "block", flexible+"pool", "sequence")
	for _, held := range h.GetAllocations() {
		t.add(held.GetAddress(), held.GetBlock(), held.GetPool(), strconv.FormatUint(held.GetSequence(), 10))
	}
	return t.flush(a.Out)
}
