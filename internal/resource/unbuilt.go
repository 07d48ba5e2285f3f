package resource

import (
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
// checked, and that no engine looks at, each with the value that says no more
// than what is done anyway; empty: there is none but false.
func unbuiltAgentFields() map[string]string {
	return map[string]string{
		"chainInsertMode":           "",
		"iptablesFilterAllowAction": "",
		"iptablesMangleAllowAction": "",
		"nftablesFilterAllowAction": "",
		"nftablesMangleAllowAction": "",
		"removeExternalRoutes":      "", // false: routes of others stay
	}
}

// foreignAgentFields returns what fields of Felix may say that have no meaning
// here, since it is no more than what is done anyway, or Felix's default where
// there is nothing to be done. Fields from firstForeign on that are not here
// may be false, or absent.
func foreignAgentFields() map[string]string {
	return map[string]string{
		"awsSrcDstCheck":                 "DoNothing",
		"bpfConnectTimeLoadBalancing":    "TCP",
		"bpfEnforceRPF":                  "Loose",
		"bpfExternalServiceMode":         "Tunnel",
		"bpfHostNetworkedNATWithoutCTLB": "Enabled",
		"bpfLogLevel":                    "Off",
		"floatingIPs":                    "Disabled",
		"healthPort":                     "9099",
		"iptablesBackend":                "Auto",
		"logSeverityScreen":              "Info",
		"nftablesMode":                   "Auto",
		"reportingInterval":              "0s",
		"routeSource":                    "CalicoIPAM",
		"serviceLoopPrevention":          "Disabled",
		"vxlanPort":                      "4789",
		"vxlanVNI":                       "4096",
		"windowsManageFirewallRules":     "Disabled",
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
		if accepted == "" && f.Kind() == protoreflect.BoolKind {
			accepted = "false"
		}
		if listed && (accepted == "" || !strings.EqualFold(fieldText(m, f), accepted)) {
			p.unsupported(true, "spec."+f.JSONName(), accepted)
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
