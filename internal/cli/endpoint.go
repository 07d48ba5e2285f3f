package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) endpointCommand() *cobra.Command {
	c := group("endpoint", "Register workloads' interfaces, and see how far they are",
		a.endpointRegisterCommand(), a.endpointUnregisterCommand(), a.endpointGetCommand(),
		a.endpointListCommand(), a.endpointWatchCommand())
	c.Aliases = []string{"endpoints", "ep"}
	c.Long = `An endpoint is one interface of one workload, named by
NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT, such as default/docker/web-1/eth0.
A slash inside a part is written %2F, a percent sign %25.`
	return c
}

// parseEndpointID reads NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT.
func parseEndpointID(text string) (*vrouterv1.EndpointID, error) {
	namespace, name, _ := strings.Cut(text, "/")
	if strings.Count(text, "/") != 3 || namespace == "" {
		return nil, usagef("%q: want NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT", text)
	}
	id, err := resource.ParseEndpointKeyName(namespace, name)
	if err != nil {
		return nil, usagef("%q: %w", text, err)
	}
	return &vrouterv1.EndpointID{
		Namespace: id.Namespace, Orchestrator: id.Orchestrator, Workload: id.Workload, Endpoint: id.Endpoint,
	}, nil
}

// endpointName renders an identity as parseEndpointID reads it.
func endpointName(id *vrouterv1.EndpointID) string {
	checked := resource.EndpointID{
		Namespace: id.GetNamespace(), Orchestrator: id.GetOrchestrator(),
		Workload: id.GetWorkload(), Endpoint: id.GetEndpoint(),
	}
	return checked.Namespace + "/" + checked.KeyName()
}

// stageName is a stage in words.
func stageName(s vrouterv1.Stage) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STAGE_"))
}

// stageOf is how far the stored revision of an endpoint has come.
func stageOf(w *vrouterv1.WorkloadEndpoint) vrouterv1.Stage {
	now, err := strconv.ParseInt(w.GetMetadata().GetResourceVersion(), 10, 64)
	holds := func(text string) bool {
		revision, bad := strconv.ParseInt(text, 10, 64)
		return err == nil && bad == nil && revision >= now
	}
	switch status := w.GetStatus(); {
	case !holds(status.GetProgrammedRevision()):
		return vrouterv1.Stage_STAGE_REGISTERED
	case !holds(status.GetAdvertisedRevision()):
		return vrouterv1.Stage_STAGE_PROGRAMMED
	}
	return vrouterv1.Stage_STAGE_ADVERTISED
}

func stageTone(s vrouterv1.Stage) tone {
	switch s {
	case vrouterv1.Stage_STAGE_ADVERTISED:
		return good
	case vrouterv1.Stage_STAGE_PROGRAMMED:
		return plain
	}
	return doubtful
}

func endpointColumns(wide bool) []string {
	names := []string{"NAMESPACE", "ORCHESTRATOR", "WORKLOAD", "ENDPOINT", "NODE", flexible + "ADDRESSES", "INTERFACE", "STAGE"}
	if wide {
		names = append(names, "TYPE", "MAC", "PROFILES", "POLICY")
	}
	return append(names, flexible+"PROBLEMS")
}

func endpointRow(w *vrouterv1.WorkloadEndpoint, wide bool) []cell {
	id, spec, status := resource.EndpointIDOf(w), w.GetSpec(), w.GetStatus()
	stage := stageOf(w)
	cells := []cell{
		{text: id.Namespace}, {text: id.Orchestrator}, {text: id.Workload}, {text: id.Endpoint},
		{text: spec.GetNode()}, {text: strings.Join(spec.GetIpNetworks(), ",")},
		{text: spec.GetInterfaceName()}, {stageName(stage), stageTone(stage)},
	}
	if wide {
		cells = append(cells, cell{text: spec.GetInterfaceType()}, cell{text: spec.GetMac()},
			cell{text: strings.Join(spec.GetProfiles(), ",")}, cell{text: status.GetPolicy()})
	}
	return append(cells, cell{strings.Join(status.GetProblems(), "; "), bad})
}

// writeEndpoints prints endpoints; bare as in writeObjects.
func (a *app) writeEndpoints(f format, list []*vrouterv1.WorkloadEndpoint, bare bool) error {
	if f != formatTable && f != formatWide {
		messages := make([]proto.Message, len(list))
		for i, w := range list {
			messages[i] = w
		}
		return a.writeObjects(f, messages, bare)
	}
	t := a.newTable(f == formatWide, endpointColumns(f == formatWide)...)
	for _, w := range list {
		t.addCells(endpointRow(w, f == formatWide)...)
	}
	a.progress.clear()
	return t.flush(a.Out)
}

func (a *app) endpointGetCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "get NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT",
		Short: "Show one endpoint and the stage that it has reached",
		Args:  arguments(1, "NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := parseFormat(output, "table", formatWide, formatYAML, formatJSON, formatName)
			if err != nil {
				return err
			}
			id, err := parseEndpointID(args[0])
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			response, err := c.endpoints.GetEndpoint(cmd.Context(), &vrouterv1.GetEndpointRequest{Id: id})
			if err != nil {
				return err
			}
			return a.writeEndpoints(f, []*vrouterv1.WorkloadEndpoint{response.GetEndpoint()}, true)
		},
	}
	bindOutput(c, &output, "table", formatWide, formatYAML, formatJSON, formatName)
	return c
}

func (a *app) endpointUnregisterCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unregister NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT...",
		Short: "Remove endpoints; one that is not there is no error",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT is needed")
			}
			var ids []*vrouterv1.EndpointID
			for _, arg := range args {
				id, err := parseEndpointID(arg)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return a.unregister(cmd.Context(), ids)
		},
	}
}

func (a *app) unregister(ctx context.Context, ids []*vrouterv1.EndpointID) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	a.newProgress("unregister", len(ids))
	var failed tally
	done := 0
	for _, id := range ids {
		response, err := c.endpoints.Unregister(ctx, &vrouterv1.UnregisterRequest{Id: id})
		a.progress.step(1)
		if err != nil {
			a.printError("", "endpoint "+endpointName(id), err)
			if !failed.fail(err) {
				break
			}
			continue
		}
		done++
		outcome := "unregistered"
		if !response.GetExisted() {
			outcome = "was not registered"
		}
		a.line("endpoint %s %s", endpointName(id), outcome)
	}
	a.progress.clear()
	return a.ended(&failed, len(ids), done)
}

type endpointScope struct {
	namespace string
	node      string
	selector  string
	output    string
}

func (s *endpointScope) bind(c *cobra.Command, what string) {
	flags := c.Flags()
	flags.StringVarP(&s.namespace, "namespace", "n", "", what+" of this namespace only (default all)")
	flags.StringVar(&s.node, "node", "", what+" on this node only")
	flags.StringVarP(&s.selector, "selector", "l", "", what+" whose labels match the selector")
	bindOutput(c, &s.output, "table", formatWide, formatYAML, formatJSON, formatName)
}

func (s *endpointScope) check() (format, *selector.Selector, error) {
	f, err := parseFormat(s.output, "table", formatWide, formatYAML, formatJSON, formatName)
	if err != nil {
		return f, nil, err
	}
	wanted, err := parseSelector(s.selector)
	return f, wanted, err
}

func (a *app) endpointListCommand() *cobra.Command {
	var s endpointScope
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List endpoints",
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.endpointList(cmd.Context(), &s)
		},
	}
	s.bind(c, "endpoints")
	return c
}

func (a *app) endpointList(ctx context.Context, s *endpointScope) error {
	f, _, err := s.check()
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	request := &vrouterv1.ListEndpointsRequest{Namespace: s.namespace, Node: s.node, LabelSelector: s.selector}
	var all []*vrouterv1.WorkloadEndpoint
	a.newProgress("read", 0)
	for {
		page, err := c.endpoints.ListEndpoints(ctx, request)
		if err != nil {
			return err
		}
		all = append(all, page.GetEndpoints()...)
		a.progress.step(len(page.GetEndpoints()))
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	a.progress.clear()
	if len(all) == 0 && f != formatYAML && f != formatJSON {
		fmt.Fprintln(a.Err, "No endpoints found")
		return nil
	}
	return a.writeEndpoints(f, all, false)
}
