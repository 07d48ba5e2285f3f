package resource

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Columns returns the headings of the table of a kind, Calico's where Calico
// has one. A namespace is not among them.
func Columns(kind Kind, wide bool) []string {
	switch kind {
	case KindNode:
		if wide {
			return []string{"NAME", "ASN", "IPV4", "IPV6"}
		}
	case KindIPPool:
		if wide {
			return []string{"NAME", "CIDR", "NAT", "IPIPMODE", "VXLANMODE", "DISABLED", "DISABLEBGPEXPORT",
				"ADVERTISE", "SELECTOR", "NAMESPACES", "BLOCKSIZE", "ASSIGNMENT", "USES"}
		}
		return []string{"NAME", "CIDR", "SELECTOR"}
	case KindBGPPeer:
		if wide {
			return []string{"NAME", "PEERIP", "NODE", "ASN", "GROUP", "FILTERS", "SHUTDOWN"}
		}
		return []string{"NAME", "PEERIP", "NODE", "ASN"}
	case KindBGPPeerGroup:
		return []string{"NAME", "FILTERS", "HOLDTIME", "PASSWORD"}
	case KindBGPFilter:
		return []string{"NAME", "IMPORTV4", "IMPORTV6", "EXPORTV4", "EXPORTV6"}
	case KindSecret:
		return []string{"NAME", "KEYS"}
	case KindBGPConfiguration:
		return []string{"NAME", "LOGSEVERITY", "MESHENABLED", "ASNUMBER"}
	case KindWorkloadEndpoint:
		columns := []string{"WORKLOAD", "NODE", "NETWORKS", "INTERFACE"}
		if wide {
			columns = append([]string{"NAME"}, append(columns, "PROFILES", "NATS", "STATUS")...)
		}
		return columns
	case KindReflectorGroup:
		return []string{"NAME", "HOSTS", "REFLECTORS", "STATUS"}
	case KindReflectorMembership:
		return []string{"NAME", "REFLECTORS"}
	case KindIPReservation:
		return []string{"NAME", "CIDRS"}
	case KindIPAMConfiguration:
		return []string{"NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS", "MAXBLOCKSPERHOST", "COOLDOWN"}
	case KindControllerConfiguration:
		return []string{"NAME", "LEAKGRACEPERIOD"}
	case KindIPAMBlock:
		return []string{"CIDR", "AFFINITY", "INUSE", "FREE"}
	case KindBlockAffinity:
		return []string{"NODE", "CIDR", "STATE", "ASSIGNED"}
	case KindIPAMHandle:
		return []string{"HANDLE", "OWNERKIND", "BLOCKS"}
	case KindClusterInformation:
		if wide {
			return []string{"NAME", "CLUSTERGUID", "CLUSTERTYPE", "DATASTOREREADY"}
		}
	}
	return policyColumns(kind, wide)
}

// Row returns the cells of a raw object under the headings of Columns. What is
// not set is "-" where the heading would else seem to be answered.
func Row(msg proto.Message, wide bool) []string {
	name := metadata(msg).GetName()
	switch m := msg.(type) {
	case *vrouterv1.Node:
		if bgp := m.GetSpec().GetBgp(); wide {
			return []string{name, numberCell(bgp.GetAsNumber(), "(default)"), bgp.GetIpv4Address(), bgp.GetIpv6Address()}
		}
	case *vrouterv1.IPPool:
		return poolRow(name, m.GetSpec(), wide)
	case *vrouterv1.BGPPeer:
		return peerRow(name, m.GetSpec(), wide)
	case *vrouterv1.BGPPeerGroup:
		s := m.GetSpec()
		return []string{name, filtersCell(s.GetFilters()), or(s.GetHoldTime(), "-"), passwordCell(s.GetPassword())}
	case *vrouterv1.BGPFilter:
		s, row := m.GetSpec(), []string{name}
		for _, rules := range [][]*vrouterv1.BGPFilterRule{
			s.GetImportV4(), s.GetImportV6(), s.GetExportV4(), s.GetExportV6()} {
			row = append(row, strconv.Itoa(len(rules)))
		}
		return row
	case *vrouterv1.Secret:
		return []string{name, strings.Join(sortedKeys(m.GetSpec().GetData()), ",")}
	case *vrouterv1.BGPConfiguration:
		s, mesh := m.GetSpec(), "-"
		if s != nil && s.NodeToNodeMeshEnabled != nil {
			mesh = strconv.FormatBool(*s.NodeToNodeMeshEnabled)
		}
		return []string{name, or(s.GetLogSeverityScreen(), "-"), mesh, numberCell(s.GetAsNumber(), "-")}
	case *vrouterv1.WorkloadEndpoint:
		return endpointRow(name, m, wide)
	case *vrouterv1.ReflectorGroup:
		return groupRow(name, m)
	case *vrouterv1.ReflectorMembership:
		var members []string
		for _, e := range m.GetSpec().GetMembers() {
			members = append(members, e.GetNode())
		}
		return []string{name, strings.Join(members, ",")}
	case *vrouterv1.IPReservation, *vrouterv1.IPAMConfiguration, *vrouterv1.IPAMBlock,
		*vrouterv1.BlockAffinity, *vrouterv1.IPAMHandle:
		return addressRow(name, m)
	case *vrouterv1.ControllerConfiguration:
		return []string{name, or(m.GetSpec().GetControllers().GetNode().GetLeakGracePeriod(), "-")}
	case *vrouterv1.ClusterInformation:
		if s := m.GetSpec(); wide {
			ready := s == nil || s.DatastoreReady == nil || *s.DatastoreReady
			return []string{name, s.GetClusterGuid(), s.GetClusterType(), strconv.FormatBool(ready)}
		}
	}
	return policyRow(name, msg, wide)
}

func peerRow(name string, s *vrouterv1.BGPPeerSpec, wide bool) []string {
	row := []string{name, or(s.GetPeerIp(), s.GetPeerRange(), s.GetPeerSelector()),
		or(s.GetNode(), s.GetNodeSelector(), "(global)"), numberCell(s.GetAsNumber(), "-")}
	if !wide {
		return row
	}
	return append(row, or(s.GetPeerGroup(), "-"), filtersCell(s.GetFilters()), strconv.FormatBool(s.GetShutdown()))
}

func filtersCell(list *structpb.ListValue) string {
	var names []string
	for _, v := range list.GetValues() {
		names = append(names, v.GetStringValue())
	}
	return or(strings.Join(names, ","), "-")
}

// passwordCell says where the password is.
func passwordCell(p *vrouterv1.BGPPassword) string {
	if ref := p.GetSecretKeyRef(); ref != nil {
		return ref.GetName() + "/" + ref.GetKey()
	}
	return or(p.GetFile(), "-")
}

func poolRow(name string, s *vrouterv1.IPPoolSpec, wide bool) []string {
	selector := or(s.GetNodeSelector(), "all()")
	if !wide {
		return []string{name, s.GetCidr(), selector}
	}
	return []string{
		name, s.GetCidr(), strconv.FormatBool(s.GetNatOutgoing()),
		or(s.GetIpipMode(), string(EncapNever)), or(s.GetVxlanMode(), string(EncapNever)),
		strconv.FormatBool(s.GetDisabled()), strconv.FormatBool(s.GetDisableBgpExport()),
		or(s.GetAdvertise(), string(AdvertiseEndpoints)), selector,
		or(s.GetNamespaceSelector(), "all()"), strconv.Itoa(int(s.GetBlockSize())),
		or(s.GetAssignmentMode(), assignAutomatic), strings.Join(s.GetAllowedUses(), ","),
	}
}

// groupRow shows what the controller has said last, where there is one.
func groupRow(name string, g *vrouterv1.ReflectorGroup) []string {
	s, status := g.GetSpec(), "-"
	var members []string
	for _, m := range g.GetStatus().GetMembers() {
		members = append(members, fmt.Sprintf("%s(%s)", m.GetNode(), strings.ToLower(m.GetState())))
	}
	switch {
	case len(g.GetStatus().GetProblems()) > 0:
		status = g.GetStatus().GetProblems()[0]
	case g.GetStatus() != nil:
		status = "ok"
	}
	reflectors := or(strings.Join(members, ","), s.GetMemberSelector(), s.GetElection().GetCandidateSelector())
	return []string{name, or(s.GetNodeSelector(), "(all)"), reflectors, status}
}

func endpointRow(name string, w *vrouterv1.WorkloadEndpoint, wide bool) []string {
	s := w.GetSpec()
	row := []string{workloadOf(s), s.GetNode(), strings.Join(s.GetIpNetworks(), ","), s.GetInterfaceName()}
	if !wide {
		return row
	}
	var nats []string
	for _, n := range s.GetIpNats() {
		nats = append(nats, fmt.Sprintf("%s:%s", n.GetInternalIp(), n.GetExternalIp()))
	}
	row = append([]string{name}, row...)
	return append(row, strings.Join(s.GetProfiles(), ","), strings.Join(nats, ","), endpointStage(w))
}

// endpointStage says how far this revision of the endpoint has come.
func endpointStage(w *vrouterv1.WorkloadEndpoint) string {
	status, now := w.GetStatus(), w.GetMetadata().GetResourceVersion()
	switch {
	case len(status.GetProblems()) > 0:
		return "problem"
	case status.GetAdvertisedRevision() != "" && status.GetAdvertisedRevision() == now:
		return "advertised"
	case status.GetProgrammedRevision() != "" && status.GetProgrammedRevision() == now:
		return "programmed"
	}
	return "registered"
}

func numberCell(v *structpb.Value, absent string) string {
	if v.GetKind() == nil {
		return absent
	}
	return renderValue(v.ProtoReflect()).text
}

// or returns the first text that is not empty.
func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
