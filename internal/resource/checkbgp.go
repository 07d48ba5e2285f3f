package resource

import (
	"fmt"
	"math"
	"strings"
	"time"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// nodeConfigPrefix begins the name of a BGPConfiguration for one node.
const nodeConfigPrefix = "node."

// maxPaths bounds equal paths: more would make the next-hop groups of the
// kernel slow to change.
const maxPaths = 256

// Priorities of routes that Calico gives when nothing is said.
const (
	normalPriority   = 1024
	elevatedPriority = 512
)

func (p *problems) configuration(meta Meta, spec *vrouterv1.BGPConfigurationSpec) *BGPConfiguration {
	c := &BGPConfiguration{Meta: meta, NodeToNodeMesh: true}
	forNode := p.configurationName(meta.Name)
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
	c.Sessions = p.sessionDefaults("spec.sessionDefaults", spec.SessionDefaults)
	p.mesh(c, spec)
	if spec.MaxPaths != nil {
		if *spec.MaxPaths < 1 || *spec.MaxPaths > maxPaths {
			p.addf("spec.maxPaths", "%d is not between 1 and %d", *spec.MaxPaths, maxPaths)
		}
		c.MaxPaths = int(*spec.MaxPaths)
	}
	c.Communities = p.advertisements(spec)
	p.unbuiltConfiguration(spec)
	return c
}

// mesh checks what is of the sessions of the mesh alone.
func (p *problems) mesh(c *BGPConfiguration, spec *vrouterv1.BGPConfigurationSpec) {
	c.MeshPassword = p.password("spec.nodeMeshPassword", spec.NodeMeshPassword)
	restart := p.duration("spec.nodeMeshMaxRestartTime", spec.GetNodeMeshMaxRestartTime(), time.Second, maxRestart)
	if restart != nil {
		c.MeshRestartTime = *restart
	}
	if c.NodeToNodeMesh {
		return
	}
	const reason = "must be empty when spec.nodeToNodeMeshEnabled is false"
	if spec.NodeMeshPassword != nil {
		p.addf("spec.nodeMeshPassword", reason)
	}
	if restart != nil {
		p.addf("spec.nodeMeshMaxRestartTime", reason)
	}
}

// sessionDefaults checks settings for all sessions, which cannot be what only
// makes sense between two ends.
func (p *problems) sessionDefaults(at string, raw *vrouterv1.BGPSessionSettings) SessionSettings {
	for _, f := range []struct {
		set  bool
		name string
	}{
		{raw.GetPassword() != nil, "password"},
		{raw.GetLocalAsNumber() != nil, "localASNumber"},
		{raw.GetRole() != "", "role"},
		{raw.GetStrictRole(), "strictRole"},
	} {
		if f.set {
			p.addf(join(at, f.name), "may be set in a BGPPeer or BGPPeerGroup only")
		}
	}
	return p.settings(at, raw)
}

// advertisements checks communities for our routes, and resolves their names.
func (p *problems) advertisements(spec *vrouterv1.BGPConfigurationSpec) []PrefixCommunities {
	named := make(map[string]CommunityValue)
	for i, c := range spec.Communities {
		at := index("spec.communities", i)
		p.err(join(at, "name"), checkCalicoName(c.GetName()))
		if _, twice := named[c.GetName()]; twice {
			p.addf(join(at, "name"), "%q is listed twice", c.GetName())
		}
		v, err := parseCommunity(c.GetValue())
		p.err(join(at, "value"), err)
		named[c.GetName()] = v
	}
	var all []PrefixCommunities
	for i, a := range spec.PrefixAdvertisements {
		at := index("spec.prefixAdvertisements", i)
		one := PrefixCommunities{Prefix: p.cidr(join(at, "cidr"), a.GetCidr())}
		for j, text := range a.Communities {
			v, ok := named[text]
			if !ok {
				var err error
				v, err = parseCommunity(text)
				p.err(index(join(at, "communities"), j), err)
			}
			if v.Large {
				one.Large = append(one.Large, v.Value)
			} else {
				one.Standard = append(one.Standard, v.Value[0])
			}
		}
		all = append(all, one)
	}
	return all
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

// logLevel translates Calico's severity, in any case, to hclog's level.
func (p *problems) logLevel(severity string) string {
	switch level := strings.ToLower(severity); level {
	case "", "trace", "debug", "info", "error":
		return level
	case "warning":
		return "warn"
	case "fatal": // hclog has none, and what is fatal is an error
		return "error"
	}
	p.addf("spec.logSeverityScreen", "%q is none of Trace, Debug, Info, Warning, Error, Fatal", severity)
	return ""
}

func (p *problems) unbuiltConfiguration(spec *vrouterv1.BGPConfigurationSpec) {
	p.unsupported(len(spec.ServiceLoadBalancerIps) > 0, "spec.serviceLoadBalancerIPs", "")
	p.unsupported(len(spec.ServiceExternalIps) > 0, "spec.serviceExternalIPs", "")
	p.unsupported(len(spec.ServiceClusterIps) > 0, "spec.serviceClusterIPs", "")
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

func checkPort(port uint32) error {
	if port == 0 || port > math.MaxUint16 {
		return fmt.Errorf("%d is not a port", port)
	}
	return nil
}
