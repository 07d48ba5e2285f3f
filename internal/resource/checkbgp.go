package resource

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// nodeConfigPrefix begins the name of a BGPConfiguration for one node.
const nodeConfigPrefix = "node."

// maxKeepalive is a third of the longest hold time (RFC 4271 §4.2, §4.4).
const maxKeepalive = math.MaxUint16 / 3 * time.Second

// Priorities of routes that Calico gives when nothing is said.
const (
	normalPriority   = 1024
	elevatedPriority = 512
)

func (p *problems) configuration(meta Meta, spec *vrouterv1.BGPConfigurationSpec) *BGPConfiguration {
	c := &BGPConfiguration{Meta: meta, NodeToNodeMesh: true}
	node, forNode := strings.CutPrefix(meta.Name, nodeConfigPrefix)
	switch {
	case forNode:
		p.err("metadata.name", checkSubdomain(node))
	case meta.Name != DefaultName:
		p.addf("metadata.name", "%q is neither %q nor %sNAME", meta.Name, DefaultName, nodeConfigPrefix)
	}
	if spec == nil {
		return c
	}
	if forNode {
		p.defaultOnly(spec)
	}
	if spec.NodeToNodeMeshEnabled != nil {
		c.NodeToNodeMesh = *spec.NodeToNodeMeshEnabled
	}
	if spec.AsNumber != nil {
		as, err := parseAS(spec.AsNumber)
		p.err("spec.asNumber", err)
		c.ASNumber = as
	}
	if spec.ListenPort != nil {
		p.err("spec.listenPort", checkPort(*spec.ListenPort))
		c.ListenPort = uint16(*spec.ListenPort)
	}
	c.LogLevel = p.logLevel(spec.GetLogSeverityScreen())
	p.unbuiltConfiguration(spec)
	return c
}

// defaultOnly refuses, in the configuration of one node, what holds for the
// cluster as a whole.
func (p *problems) defaultOnly(spec *vrouterv1.BGPConfigurationSpec) {
	for _, f := range []struct {
		set  bool
		name string
	}{
		{spec.NodeToNodeMeshEnabled != nil, "nodeToNodeMeshEnabled"},
		{spec.AsNumber != nil, "asNumber"},
		{len(spec.ServiceLoadBalancerIps) > 0, "serviceLoadBalancerIPs"},
		{len(spec.ServiceExternalIps) > 0, "serviceExternalIPs"},
		{len(spec.ServiceClusterIps) > 0, "serviceClusterIPs"},
		{spec.NodeMeshPassword != nil, "nodeMeshPassword"},
		{spec.NodeMeshMaxRestartTime != nil, "nodeMeshMaxRestartTime"},
	} {
		if f.set {
			p.addf("spec."+f.name, "may be set in the BGPConfiguration %q only", DefaultName)
		}
	}
}

// logLevel translates Calico's severity to hclog's level.
func (p *problems) logLevel(severity string) string {
	switch severity {
	case "":
		return ""
	case "Debug", "Info", "Error":
		return strings.ToLower(severity)
	case "Warning":
		return "warn"
	case "Fatal": // hclog has none, and what is fatal is an error
		return "error"
	}
	p.addf("spec.logSeverityScreen", "%q is none of Debug, Info, Warning, Error, Fatal", severity)
	return ""
}

func (p *problems) unbuiltConfiguration(spec *vrouterv1.BGPConfigurationSpec) {
	p.unsupported(len(spec.ServiceLoadBalancerIps) > 0, "spec.serviceLoadBalancerIPs", "")
	p.unsupported(len(spec.ServiceExternalIps) > 0, "spec.serviceExternalIPs", "")
	p.unsupported(len(spec.ServiceClusterIps) > 0, "spec.serviceClusterIPs", "")
	p.unsupported(len(spec.Communities) > 0, "spec.communities", "")
	p.unsupported(len(spec.PrefixAdvertisements) > 0, "spec.prefixAdvertisements", "")
	p.unsupported(spec.NodeMeshPassword != nil, "spec.nodeMeshPassword", "")
	p.unsupported(spec.NodeMeshMaxRestartTime != nil, "spec.nodeMeshMaxRestartTime", "")
	p.oneOf("spec.bindMode", spec.BindMode, "None", "NodeIP")
	p.unsupported(len(spec.IgnoredInterfaces) > 0, "spec.ignoredInterfaces", "")
	p.unsupported(spec.GetLocalWorkloadPeeringIpv4() != "", "spec.localWorkloadPeeringIPV4", "")
	p.unsupported(spec.GetLocalWorkloadPeeringIpv6() != "", "spec.localWorkloadPeeringIPV6", "")
	p.oneOf("spec.serviceLoadBalancerAggregation", spec.ServiceLoadBalancerAggregation, "Enabled", "Disabled")
	p.oneOf("spec.programClusterRoutes", spec.ProgramClusterRoutes,
		"Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")
	p.priority("spec.ipv4NormalRoutePriority", spec.Ipv4NormalRoutePriority, normalPriority)
	p.priority("spec.ipv6NormalRoutePriority", spec.Ipv6NormalRoutePriority, normalPriority)
	p.priority("spec.ipv4ElevatedRoutePriority", spec.Ipv4ElevatedRoutePriority, elevatedPriority)
	p.priority("spec.ipv6ElevatedRoutePriority", spec.Ipv6ElevatedRoutePriority, elevatedPriority)
}

func (p *problems) priority(path string, value *int32, built int32) {
	p.unsupported(value != nil && *value != built, path, fmt.Sprint(built))
}

func (p *problems) peer(meta Meta, spec *vrouterv1.BGPPeerSpec) *BGPPeer {
	peer := &BGPPeer{Meta: meta, Node: spec.GetNode()}
	if spec == nil {
		spec = &vrouterv1.BGPPeerSpec{}
	}
	if peer.Node != "" {
		p.err("spec.node", checkSubdomain(peer.Node))
	}
	var err error
	peer.NodeSelector, err = parseSelector(spec.NodeSelector)
	p.err("spec.nodeSelector", err)
	if spec.GetNode() != "" && spec.GetNodeSelector() != "" {
		p.addf("spec.nodeSelector", "must be empty when spec.node is given")
	}
	p.otherEnd(peer, spec)
	switch spec.GetReversePeering() {
	case "", "Auto":
	case "Manual":
		peer.ReverseManual = true
	default:
		p.addf("spec.reversePeering", "%q is none of Auto, Manual", spec.GetReversePeering())
	}
	if spec.GetKeepaliveTime() != "" {
		keepalive, err := parseDuration(spec.GetKeepaliveTime(), time.Second, maxKeepalive)
		p.err("spec.keepaliveTime", err)
		peer.Settings.KeepaliveTime = &keepalive
	}
	p.unbuiltPeer(spec)
	return peer
}

// otherEnd checks whom the session is with: an address and its AS, or nodes.
func (p *problems) otherEnd(peer *BGPPeer, spec *vrouterv1.BGPPeerSpec) {
	if spec.GetLocalWorkloadSelector() != "" {
		p.unsupported(true, "spec.localWorkloadSelector", "")
		return
	}
	if spec.AsNumber != nil {
		as, err := parseAS(spec.AsNumber)
		p.err("spec.asNumber", err)
		peer.ASNumber = as
	}
	var err error
	peer.PeerSelector, err = parseSelector(spec.PeerSelector)
	p.err("spec.peerSelector", err)
	byIP, bySelector := spec.GetPeerIp() != "", spec.GetPeerSelector() != ""
	switch {
	case byIP && bySelector:
		p.addf("spec.peerSelector", "must be empty when spec.peerIP is given")
	case !byIP && !bySelector:
		p.addf("spec.peerIP", "an address or a spec.peerSelector is needed")
	case bySelector && spec.AsNumber != nil:
		p.addf("spec.asNumber", "must be empty when spec.peerSelector is given: the AS is that of each node")
	case byIP && spec.AsNumber == nil:
		p.addf("spec.asNumber", "the AS of %s is needed", spec.GetPeerIp())
	}
	if byIP {
		peer.PeerIP, peer.PeerPort, err = parsePeerIP(spec.GetPeerIp())
		p.err("spec.peerIP", err)
	}
}

// parsePeerIP reads ADDRESS, IPV4:PORT or [IPV6]:PORT. No port gives zero.
func parsePeerIP(s string) (netip.Addr, uint16, error) {
	if end, err := netip.ParseAddrPort(s); err == nil {
		addr, err := parseAddr(end.Addr().String())
		if err == nil && end.Port() == 0 {
			err = errors.New("port 0 is not a port")
		}
		if err == nil {
			err = checkUnicast(addr)
		}
		return addr, end.Port(), err
	}
	if strings.HasPrefix(s, "[") || strings.Count(s, ":") == 1 {
		return netip.Addr{}, 0, fmt.Errorf("%q is not of the form IPV4:PORT or [IPV6]:PORT", s)
	}
	addr, err := parseAddr(s)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	return addr, 0, checkUnicast(addr)
}

func (p *problems) unbuiltPeer(spec *vrouterv1.BGPPeerSpec) {
	p.unsupported(spec.GetKeepOriginalNextHop(), "spec.keepOriginalNextHop", "false")
	p.unsupported(spec.Password != nil, "spec.password", "")
	p.oneOf("spec.sourceAddress", spec.SourceAddress, "UseNodeIP", "None")
	p.unsupported(spec.GetMaxRestartTime() != "", "spec.maxRestartTime", "")
	p.unsupported(spec.GetNumAllowedLocalAsNumbers() != 0, "spec.numAllowedLocalASNumbers", "0")
	p.unsupported(spec.GetTtlSecurity() != 0, "spec.ttlSecurity", "0")
	p.unsupported(spec.GetReachableBy() != "", "spec.reachableBy", "")
	p.unsupported(len(spec.Filters) > 0, "spec.filters", "")
	p.unsupported(spec.LocalAsNumber != nil, "spec.localASNumber", "")
	p.oneOf("spec.nextHopMode", spec.NextHopMode, "Auto", "Self", "Keep")
}

func checkPort(port uint32) error {
	if port == 0 || port > math.MaxUint16 {
		return fmt.Errorf("%d is not a port", port)
	}
	return nil
}
