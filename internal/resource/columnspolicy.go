package resource

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// policyColumns is Columns for the kinds of policy.
func policyColumns(kind Kind, wide bool) []string {
	switch kind {
	case KindTier:
		return []string{"NAME", "ORDER", "DEFAULTACTION"}
	case KindNetworkPolicy, KindGlobalNetworkPolicy:
		columns := []string{"NAME", "TIER", "ORDER", "SELECTOR"}
		if wide {
			columns = append(columns, "TYPES", "INGRESS", "EGRESS")
		}
		return columns
	case KindStagedNetworkPolicy, KindStagedGlobalNetworkPolicy:
		columns := []string{"NAME", "TIER", "ORDER", "SELECTOR", "ACTION"}
		if wide {
			columns = append(columns, "TYPES", "INGRESS", "EGRESS")
		}
		return columns
	case KindNetworkSet, KindGlobalNetworkSet:
		return []string{"NAME", "NETS"}
	case KindProfile:
		return []string{"NAME", "LABELS"}
	case KindHostEndpoint:
		columns := []string{"NAME", "NODE", "INTERFACE", "IPS"}
		if wide {
			columns = append(columns, "PROFILES")
		}
		return columns
	case KindService:
		return []string{"NAME", "ADDRESSES", "PORTS", "READY"}
	}
	return []string{"NAME"}
}

// policyRow is Row for the kinds of policy.
func policyRow(name string, msg proto.Message, wide bool) []string {
	switch m := msg.(type) {
	case *vrouterv1.Tier:
		return []string{name, orderCell(orEmpty(m.GetSpec(), &vrouterv1.TierSpec{}).Order), m.GetSpec().GetDefaultAction()}
	case *vrouterv1.NetworkSet:
		return []string{name, netsCell(m.GetSpec().GetNets(), wide)}
	case *vrouterv1.GlobalNetworkSet:
		return []string{name, netsCell(m.GetSpec().GetNets(), wide)}
	case *vrouterv1.Profile:
		var labels []string
		for _, key := range sortedKeys(m.GetSpec().GetLabelsToApply()) {
			labels = append(labels, key+"="+m.GetSpec().GetLabelsToApply()[key])
		}
		return []string{name, or(strings.Join(labels, ","), "-")}
	case *vrouterv1.HostEndpoint:
		s := m.GetSpec()
		row := []string{name, s.GetNode(), or(s.GetInterfaceName(), "-"), or(strings.Join(s.GetExpectedIps(), ","), "-")}
		if wide {
			row = append(row, or(strings.Join(s.GetProfiles(), ","), "-"))
		}
		return row
	case *vrouterv1.Service:
		return serviceRow(name, m.GetSpec())
	}
	spec := policySpecOf(msg)
	if spec == nil {
		return []string{name}
	}
	selector := ""
	if spec.selector != nil {
		selector = *spec.selector
	}
	row := []string{name, spec.tierName(), orderCell(spec.order), or(selector, "all()")}
	if spec.stagedAction != nil {
		row = append(row, or(textAt(spec.stagedAction), string(StagedSet)))
	}
	if wide {
		row = append(row, or(strings.Join(*spec.types, ","), "-"), strconv.Itoa(len(spec.ingress)), strconv.Itoa(len(spec.egress)))
	}
	return row
}

func orderCell(order *float64) string {
	if order == nil {
		return "-"
	}
	return renderNumber(*order).text
}

// netsCell shows a few networks; a set may have thousands.
func netsCell(nets []string, wide bool) string {
	const few = 3
	if len(nets) <= few || wide {
		return or(strings.Join(nets, ","), "-")
	}
	return strings.Join(nets[:few], ",") + ",+" + strconv.Itoa(len(nets)-few)
}

func serviceRow(name string, s *vrouterv1.ServiceSpec) []string {
	var ports []string
	for _, port := range s.GetPorts() {
		text := strconv.Itoa(int(port.GetPort()))
		if protocol, err := parsePortProtocol(port.GetProtocol()); err == nil {
			text += "/" + ProtocolName(protocol)
		}
		ports = append(ports, text)
	}
	ready := 0
	for _, b := range s.GetBackends() {
		if b.Ready == nil || *b.Ready {
			ready++
		}
	}
	return []string{name, or(strings.Join(s.GetAddresses(), ","), "-"), or(strings.Join(ports, ","), "-"),
		strconv.Itoa(ready) + "/" + strconv.Itoa(len(s.GetBackends()))}
}
