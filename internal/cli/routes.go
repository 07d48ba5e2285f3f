package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) routesCommand() *cobra.Command {
	var node, output string
	c := &cobra.Command{
		Use:   "routes [PREFIX]",
		Short: "Show RIB and FIB of a node side by side",
		Long: `Show RIB and FIB of a node side by side: each prefix with the source that was
chosen for it, what the kernel holds, whether it is advertised, the paths that
BGP knows (the best one marked *), and why the route is there or is not.

With PREFIX (an address counts as the prefix of itself) only what is inside it.`,
		Args: arguments(0, "PREFIX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := parseFormat(output, "table", formatWide, formatYAML, formatJSON)
			if err != nil {
				return err
			}
			request := &vrouterv1.ListRoutesRequest{Node: node}
			if len(args) > 0 {
				if request.Prefix, err = parsePrefix(args[0]); err != nil {
					return err
				}
			}
			return a.routes(cmd.Context(), request, f)
		},
	}
	a.bindNode(c, &node, "node to ask")
	bindOutput(c, &output, "table", formatWide, formatYAML, formatJSON)
	return c
}

// parsePrefix reads a prefix, or an address as the prefix of itself.
func parsePrefix(text string) (string, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()).String(), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return "", usagef("PREFIX %q: neither a prefix nor an address", text)
	}
	if prefix != prefix.Masked() {
		return "", usagef("PREFIX %q: has bits beyond its length; %s?", text, prefix.Masked())
	}
	return prefix.String(), nil
}

func (a *app) routes(ctx context.Context, request *vrouterv1.ListRoutesRequest, f format) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	return a.showRoutes(ctx, c, request, f, routeColumns, routeRows)
}

// showRoutes shows routes in one of the ways to look at them.
func (a *app) showRoutes(ctx context.Context, c *client, request *vrouterv1.ListRoutesRequest, f format,
	columns func(wide bool) []string, rows func(r *vrouterv1.Route, wide bool) [][]cell) error {
	routes, err := a.readRoutes(ctx, c, request)
	a.progress.clear()
	if err != nil {
		return err
	}
	if f == formatYAML || f == formatJSON {
		return writeList(a, f, routes)
	}
	if len(routes) == 0 {
		fmt.Fprintln(a.Err, "No routes found")
		return nil
	}
	wide := f == formatWide
	t := a.newTable(wide, columns(wide)...)
	for _, r := range routes {
		for _, row := range rows(r, wide) {
			t.addCells(row...)
		}
	}
	return t.flush(a.Out)
}

func (a *app) readRoutes(ctx context.Context, c *client, request *vrouterv1.ListRoutesRequest) ([]*vrouterv1.Route, error) {
	var routes []*vrouterv1.Route
	a.newProgress("read", 0)
	err := readStream(ctx, c, func(ctx context.Context) (grpc.ServerStreamingClient[vrouterv1.ListRoutesResponse], error) {
		return c.nodes.ListRoutes(ctx, request)
	}, func(m *vrouterv1.ListRoutesResponse) error {
		routes = append(routes, m.GetRoutes()...)
		a.progress.step(len(m.GetRoutes()))
		return nil
	})
	return routes, err
}

func routeColumns(wide bool) []string {
	names := []string{"PREFIX", "SOURCE", flexible + "FIB NEXT HOP", "PROGRAMMED", "ADVERTISED", flexible + "RIB PATH"}
	if wide {
		names = append(names, "AS PATH", "LOCAL PREF", "MED", "COMMUNITIES", "ORIGINATOR", "CLUSTERS")
	}
	return append(names, flexible+"WHY")
}

// routeRows is a row for each next hop and path of a route, side by side.
func routeRows(r *vrouterv1.Route, wide bool) [][]cell {
	var rows [][]cell
	hops, paths := r.GetNextHops(), r.GetPaths()
	for i := range max(len(hops), len(paths), 1) {
		row := make([]cell, 5)
		if i == 0 {
			row[0], row[1] = cell{text: r.GetPrefix()}, cell{text: or(r.GetSource(), "-")}
			row[3], row[4] = routeState(r), cell{text: yesNo(r.GetAdvertised())}
		}
		if i < len(hops) {
			row[2] = cell{text: hopText(hops[i])}
		}
		path := &vrouterv1.BGPPath{}
		if i < len(paths) {
			path = paths[i]
		}
		row = append(row, pathCells(path, wide, i < len(paths))...)
		why := cell{}
		if i == 0 {
			why = cell{text: or(r.GetReason(), r.GetEndpoint())}
			if r.GetProblem() != "" {
				why = cell{r.GetProblem(), bad}
			}
		}
		rows = append(rows, append(row, why))
	}
	return rows
}

// routeState tells whether the kernel holds the route; one with a problem
// should be there and is not as it should.
func routeState(r *vrouterv1.Route) cell {
	switch {
	case r.GetProgrammed() && r.GetProblem() == "":
		return cell{"yes", good}
	case r.GetProgrammed():
		return cell{"yes", doubtful}
	case r.GetProblem() != "":
		return cell{"no", bad}
	}
	return cell{"no", doubtful}
}

// hopText renders a next hop as ip route does.
func hopText(h *vrouterv1.RouteNextHop) string {
	var words []string
	if h.GetGateway() != "" {
		words = append(words, h.GetGateway())
	}
	if h.GetInterface() != "" {
		words = append(words, "dev "+h.GetInterface())
	}
	if h.GetOnlink() {
		words = append(words, "onlink")
	}
	return strings.Join(words, " ")
}

// pathCells renders a path of the RIB; there is none in some rows.
func pathCells(p *vrouterv1.BGPPath, wide, there bool) []cell {
	var cells []cell
	text := ""
	if there {
		text = p.GetNextHop() + " from " + p.GetPeer()
		if p.GetBest() {
			text = "* " + text
		} else {
			text = "  " + text
		}
		if p.GetStale() {
			text += " (stale)"
		}
	}
	cells = append(cells, cell{text: text})
	if !wide {
		return cells
	}
	if !there {
		return append(cells, make([]cell, 6)...)
	}
	return append(cells, textCells([]string{
		asPathText(p.GetAsPath()), strconv.FormatUint(uint64(p.GetLocalPref()), 10),
		strconv.FormatUint(uint64(p.GetMed()), 10), strings.Join(p.GetCommunities(), " "),
		p.GetOriginatorId(), strings.Join(p.GetClusterList(), " "),
	})...)
}
