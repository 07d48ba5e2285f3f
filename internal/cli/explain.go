package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy/explain"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// explainOptions are the flags of explain.
type explainOptions struct {
	files      []string
	protocol   string
	family     string
	iface      string
	output     string
	port       uint16
	sourcePort uint16
	preDNAT    uint16
	icmpType   uint8
	icmpCode   uint8
}

func (a *app) explainCommand() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain FROM TO --port PORT",
		Short: "Tell whether policy lets a packet through, and which rule decides",
		Long: `Tell whether policy lets the first packet of a connection through, with every
stage on its way and the tier, the policy and the rule that decides there.

FROM and TO are NAMESPACE/ENDPOINT (the name of an endpoint or of its
workload), host:NODE/INTERFACE or an address.

It exits with 0 if the packet is allowed, with 1 if it is denied, and with 2 if
nobody can say: an end is not there, or the own rules of a host decide.

It is judged by what is stored, and the hosts of both ends are asked whether
they enforce that. With -f it works from manifests alone, as if they were all
that is stored, and no vrouterd is asked.`,
		Example: `  vrouterctl explain shop/web shop/db --port 5432
  vrouterctl explain -f policies/ 203.0.113.9 shop/web --port 443 -o json`,
		Args:              arguments(2, "FROM", "TO"),
		ValidArgsFunction: a.completeEnds,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := parseFormat(o.output, "table", formatWide, formatYAML, formatJSON)
			if err != nil {
				return err
			}
			probe, err := o.probe(cmd, args)
			if err != nil {
				return err
			}
			answer, err := a.explain(cmd.Context(), o.files, probe)
			if err != nil {
				return undecided(err)
			}
			if err := a.showExplained(f, answer); err != nil {
				return undecided(err)
			}
			return verdictError(answer.GetVerdict())
		},
	}
	o.bind(c)
	return c
}

func (o *explainOptions) bind(c *cobra.Command) {
	flags := c.Flags()
	bindFiles(c, &o.files)
	flags.StringVarP(&o.protocol, "protocol", "p", "tcp", "`protocol`: tcp, udp, sctp, icmp, icmpv6, udplite, or a number")
	flags.Uint16Var(&o.port, "port", 0, "destination port")
	flags.Uint16Var(&o.sourcePort, "source-port", 0, "source port (default any that no rule is likely to name)")
	flags.Uint16Var(&o.preDNAT, "pre-dnat-port", 0, "port of TO's host at which the packet arrives before its destination is translated")
	flags.Uint8Var(&o.icmpType, "icmp-type", 0, "type of an ICMP message (default an echo request)")
	flags.Uint8Var(&o.icmpCode, "icmp-code", 0, "code of an ICMP message, with --icmp-type")
	flags.StringVar(&o.family, "family", "", "ipv4 or ipv6 (default each that both ends have)")
	flags.StringVar(&o.iface, "interface", "", "interface that the packet enters its first host by, if it is not that of FROM")
	bindOutput(c, &o.output, "table", formatWide, formatYAML, formatJSON)
	// The flags exist.
	_ = c.RegisterFlagCompletionFunc("protocol", cobra.FixedCompletions(
		[]string{"tcp", "udp", "sctp", "icmp", "icmpv6", "udplite"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("family", cobra.FixedCompletions([]string{"ipv4", "ipv6"}, cobra.ShellCompDirectiveNoFileComp))
}

// probe is what the command line says.
func (o *explainOptions) probe(cmd *cobra.Command, args []string) (explain.Probe, error) {
	p := explain.Probe{
		From: args[0], To: args[1], Port: o.port, SourcePort: o.sourcePort, PreDNATPort: o.preDNAT, Interface: o.iface,
	}
	var err error
	if p.Protocol, err = explain.ParseProtocol(o.protocol); err != nil {
		return p, usagef("--protocol: %w", err)
	}
	switch strings.ToLower(o.family) {
	case "":
	case "ipv4":
		p.IPVersion = 4
	case "ipv6":
		p.IPVersion = 6
	default:
		return p, usagef("--family %q: want ipv4 or ipv6", o.family)
	}
	if cmd.Flags().Changed("icmp-type") {
		p.ICMPType = &o.icmpType
	}
	if cmd.Flags().Changed("icmp-code") {
		p.ICMPCode = &o.icmpCode
	}
	if err := p.Check(); err != nil {
		return p, usagef("%s", flagNames().Replace(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return p, nil
}

// flagNames puts the flags and arguments in place of the fields of a probe.
func flagNames() *strings.Replacer {
	return strings.NewReplacer("from:", "FROM:", "to:", "TO:", "sourcePort:", "--source-port:", "preDNATPort:", "--pre-dnat-port:",
		"port:", "--port:", "icmpType:", "--icmp-type:", "icmpCode:", "--icmp-code:", "an icmpType", "--icmp-type", "ipVersion:", "--family:")
}

// explain judges from manifests, or has vrouterd do so.
func (a *app) explain(ctx context.Context, files []string, p explain.Probe) (*vrouterv1.ExplainResponse, error) {
	if len(files) == 0 {
		c, err := a.connect()
		if err != nil {
			return nil, err
		}
		return c.nodes.Explain(ctx, explainRequest(p))
	}
	cluster, err := a.cluster(files)
	if err != nil {
		return nil, err
	}
	return cluster.Explain(p)
}

func explainRequest(p explain.Probe) *vrouterv1.ExplainRequest {
	r := &vrouterv1.ExplainRequest{
		From: p.From, To: p.To, Protocol: p.Protocol.String(), Port: uint32(p.Port), SourcePort: uint32(p.SourcePort),
		PreDnatPort: uint32(p.PreDNATPort), Interface: p.Interface,
	}
	switch p.IPVersion {
	case 4:
		r.Family = "IPv4"
	case 6:
		r.Family = "IPv6"
	}
	for _, number := range []struct {
		from *uint8
		to   **uint32
	}{{p.ICMPType, &r.IcmpType}, {p.ICMPCode, &r.IcmpCode}} {
		if number.from != nil {
			*number.to = proto.Uint32(uint32(*number.from))
		}
	}
	return r
}

// cluster is what would be stored once the manifests were applied. They may be
// what `get all -o yaml` has shown: nobody is told of what the server adds, and
// Secrets, which show no values, are left out.
func (a *app) cluster(files []string) (*explain.Cluster, error) {
	manifests, err := a.parseManifests(files, namespaceFlag{name: resource.DefaultNamespace})
	if err != nil {
		return nil, err
	}
	var invalid []error
	at := make(map[resource.ID]int)
	var objects []resource.Object
	for _, m := range manifests {
		if m.Kind == resource.KindSecret {
			continue
		}
		msg := proto.Clone(m.Message)
		resource.SetVersion(msg, 0) // as apply does where nothing is stored
		resource.Canonicalize(msg)
		object, err := resource.Check(msg)
		if err != nil {
			invalid = append(invalid, fromManifest(m.Source, err))
			continue
		}
		id := object.Metadata().ID
		if i, ok := at[id]; ok {
			objects[i] = object // as a later apply does
			continue
		}
		at[id] = len(objects)
		objects = append(objects, object)
	}
	if len(invalid) > 0 {
		return nil, errors.Join(invalid...)
	}
	return explain.New(objects)
}

// fromManifest says in which manifest it is that something is wrong.
func fromManifest(source string, err error) error {
	var invalid *resource.Invalid
	if errors.As(err, &invalid) {
		named := *invalid
		named.Source = source
		return &named
	}
	return fmt.Errorf("%s: %w", source, err)
}

// verdictError is the exit code of a verdict.
func verdictError(verdict string) error {
	switch verdict {
	case "allowed":
		return nil
	case "denied":
		return &reportedError{ExitFailed}
	}
	return &reportedError{ExitUsage}
}

// showExplained prints what decides.
func (a *app) showExplained(f format, r *vrouterv1.ExplainResponse) error {
	if f == formatYAML || f == formatJSON {
		return a.writeMessage(f, r)
	}
	if r.GetReason() == "" {
		a.line("%s", r.GetVerdict())
	} else {
		a.line("%s: %s", r.GetVerdict(), r.GetReason())
	}
	for _, e := range r.GetEnds() {
		if e.GetProgrammed() == "" {
			continue
		}
		a.line("%s is programmed on %s: %s", e.GetName(), e.GetNode(), orReason(e.GetProgrammed(), e.GetProgrammedReason()))
	}
	t := a.newTable(f == formatWide, "FAMILY", "NODE", "POINT", flexible+"SUBJECT", "ACTION", flexible+"BECAUSE")
	rows := 0
	for _, w := range r.GetWays() {
		for _, s := range w.GetStages() {
			rows++
			t.add(w.GetFamily(), s.GetNode(), s.GetPoint(), s.GetSubject(), s.GetAction(), because(s))
			for _, h := range s.GetLogged() {
				t.add("", "", "", "", "Log", hitText(h))
			}
			for _, h := range s.GetStaged() {
				t.add("", "", "", "", "would "+h.GetAction(), hitText(h))
			}
		}
	}
	if rows == 0 {
		return nil
	}
	a.line("")
	return t.flush(a.Out)
}

func orReason(word, reason string) string {
	if reason == "" {
		return word
	}
	return word + ": " + reason
}

func because(s *vrouterv1.PolicyStage) string {
	if s.GetReason() != "" {
		return s.GetReason()
	}
	return hitText(s.GetDecided())
}

func hitText(h *vrouterv1.PolicyHit) string {
	return orReason(explain.Describe(h), h.GetText())
}
