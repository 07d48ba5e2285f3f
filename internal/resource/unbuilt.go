package resource

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Here stands what the schema of endpoints and hosts has and nothing does
// yet: it is refused when it asks for something, never ignored. Whoever builds
// it takes it out here.

func (p *problems) unbuiltEndpoint(spec *vrouterv1.WorkloadEndpointSpec) {
	p.unsupported(len(spec.GetIpNats()) > 0, "spec.ipNATs", "")
	p.unsupported(spec.GetIpv4Gateway() != "", "spec.ipv4Gateway", "")
	p.unsupported(spec.GetIpv6Gateway() != "", "spec.ipv6Gateway", "")
}

// unbuiltAgentFields returns the fields of AgentConfiguration that are read and
// checked, and that no engine looks at, each with the values that say no more
// than what is done anyway.
func unbuiltAgentFields() map[string][]string {
	return map[string][]string{
		"chainInsertMode":           {"Insert"},
		"iptablesFilterAllowAction": {"Return"},
		"iptablesMangleAllowAction": {"Return"},
		// Where a chain of nftables accepts, those of others go on all the same.
		"nftablesFilterAllowAction": {"Accept", "Return"},
		"nftablesMangleAllowAction": {"Accept", "Return"},
		"removeExternalRoutes":      {"false"}, // routes of others stay
	}
}

// foreignAgentFields returns what fields of Felix may say that have no meaning
// here, since it is no more than what is done anyway, or Felix's default where
// there is nothing to be done. Fields from firstForeign on that are not here
// may be false, or absent.
func foreignAgentFields() map[string][]string {
	either := []string{"true", "false"} // how Felix does a thing, not whether
	return map[string][]string{
		"awsSrcDstCheck":                     {"DoNothing"},
		"bpfConnectTimeLoadBalancing":        {"TCP"},
		"bpfConnectTimeLoadBalancingEnabled": either,
		"bpfDisableUnprivileged":             either,
		"bpfEnforceRPF":                      {"Loose"},
		"bpfExternalServiceMode":             {"Tunnel"},
		"bpfHostConntrackBypass":             either,
		"bpfHostNetworkedNATWithoutCTLB":     {"Enabled"},
		"bpfKubeProxyEndpointSlicesEnabled":  either,
		"bpfKubeProxyIptablesCleanupEnabled": either,
		"bpfLogLevel":                        {"Off"},
		"floatingIPs":                        {"Disabled"},
		"healthPort":                         {"9099"},
		"iptablesBackend":                    {"Auto"},
		"ipv6Support":                        {"true"},
		"logSeverityFile":                    {"Info"},
		"logSeverityScreen":                  {"Info"},
		"logSeveritySys":                     {"Info"},
		"nftablesMode":                       {"Auto"},
		"prometheusGoMetricsEnabled":         {"true"},
		"prometheusMetricsEnabled":           either, // the daemon's file says where
		"prometheusMetricsPort":              {"9091"},
		"prometheusProcessMetricsEnabled":    {"true"},
		"reportingInterval":                  {"0s"},
		"routeSource":                        {"CalicoIPAM"},
		"serviceLoopPrevention":              {"Drop", "Disabled"}, // no service is announced
		"useInternalDataplaneDriver":         {"true"},
		"vxlanPort":                          {"4789"},
		"vxlanVNI":                           {"4096"},
		"windowsManageFirewallRules":         {"Disabled"},
		"wireguardListeningPort":             {"51820"},
		"xdpEnabled":                         either,
	}
}

// firstForeign is the number of the first field that is Felix's alone.
const firstForeign = 100

// unbuilt refuses fields of an AgentConfiguration that nothing does.
func (p *problems) unbuilt(spec *vrouterv1.AgentConfigurationSpec) {
	ours, foreign := unbuiltAgentFields(), foreignAgentFields()
	m := spec.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if !m.Has(f) {
			continue
		}
		accepted, listed := ours[f.JSONName()]
		if f.Number() >= firstForeign {
			accepted, listed = foreign[f.JSONName()], true
		}
		if accepted == nil && f.Kind() == protoreflect.BoolKind {
			accepted = []string{"false"}
		}
		text := fieldText(m, f)
		if listed && !slices.ContainsFunc(accepted, func(value string) bool { return strings.EqualFold(value, text) }) {
			p.unsupported(true, "spec."+f.JSONName(), strings.Join(accepted, " or "))
		}
	}
}

// fieldText returns what a field with one value says; empty for another.
func fieldText(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	if t := renderField(f, m.Get(f)); t != nil {
		return t.text
	}
	return ""
}
