package resource

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Kinds returns every kind that is written through the API, in the order in which a set of manifests is best
// applied: what others refer to comes first. IPAMKinds are beside them.
func Kinds() []Kind {
	return []Kind{
		KindClusterInformation, KindControllerConfiguration, KindNamespace, KindServiceAccount, KindIPAMConfiguration, KindIPReservation, KindIPPool, KindSecret,
		KindTier, KindProfile, KindGlobalNetworkSet, KindNetworkSet, KindService,
		KindGlobalNetworkPolicy, KindNetworkPolicy, KindStagedGlobalNetworkPolicy, KindStagedNetworkPolicy,
		KindBGPFilter, KindBGPConfiguration, KindNode, KindBGPPeerGroup, KindBGPPeer, KindReflectorGroup, KindReflectorMembership,
		KindAgentConfiguration, KindHostEndpoint, KindWorkloadEndpoint,
	}
}

// New returns an empty raw object of a kind, and whether there is such a kind.
func New(kind Kind) (proto.Message, bool) {
	field := oneofField(kind)
	if field == nil {
		return nil, false
	}
	return (&vrouterv1.Resource{}).ProtoReflect().NewField(field).Message().Interface(), true
}

// oneofField returns the field of the API's oneof that holds objects of the
// kind, nil if there is none. A kind is named as its message is.
func oneofField(kind Kind) protoreflect.FieldDescriptor {
	fields := (*vrouterv1.Resource)(nil).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); string(f.Message().Name()) == string(kind) {
			return f
		}
	}
	return nil
}

// apiVersion is what objects of the kind are written with.
func apiVersion(kind Kind) string {
	switch kind {
	case KindAgentConfiguration, KindBGPPeerGroup, KindControllerConfiguration, KindNamespace, KindReflectorGroup, KindReflectorMembership,
		KindSecret, KindService, KindServiceAccount:
		return OwnAPIVersion
	}
	return APIVersion
}

// Namespaced tells whether objects of the kind live in a namespace.
func Namespaced(kind Kind) bool {
	switch kind {
	case KindWorkloadEndpoint, KindNetworkPolicy, KindStagedNetworkPolicy, KindNetworkSet, KindServiceAccount, KindService:
		return true
	}
	return false
}

// ParseKind reads a kind as an operator types it: in any case, singular or
// plural, or one of Calico's short names.
func ParseKind(s string) (Kind, bool) {
	switch strings.ToLower(s) {
	case "node", "nodes", "no", "nos":
		return KindNode, true
	case "workloadendpoint", "workloadendpoints", "wep", "weps", "endpoint", "endpoints":
		return KindWorkloadEndpoint, true
	case "ippool", "ippools", "ipp", "ipps", "pool", "pools":
		return KindIPPool, true
	case "bgpconfiguration", "bgpconfigurations", "bgpconfig", "bgpconfigs":
		return KindBGPConfiguration, true
	case "bgppeer", "bgppeers", "bgpp", "bgpps", "bp", "bps", "peer", "peers":
		return KindBGPPeer, true
	case "bgppeergroup", "bgppeergroups", "peergroup", "peergroups":
		return KindBGPPeerGroup, true
	case "bgpfilter", "bgpfilters", "filter", "filters":
		return KindBGPFilter, true
	case "secret", "secrets":
		return KindSecret, true
	case "reflectorgroup", "reflectorgroups":
		return KindReflectorGroup, true
	case "reflectormembership", "reflectormemberships":
		return KindReflectorMembership, true
	case "namespace", "namespaces", "ns":
		return KindNamespace, true
	case "ipreservation", "ipreservations", "reservation", "reservations":
		return KindIPReservation, true
	case "ipamconfiguration", "ipamconfigurations", "ipamconfig", "ipamconfigs":
		return KindIPAMConfiguration, true
	case "ipamblock", "ipamblocks", "block", "blocks":
		return KindIPAMBlock, true
	case "blockaffinity", "blockaffinities", "affinity", "affinities":
		return KindBlockAffinity, true
	case "ipamhandle", "ipamhandles", "handle", "handles":
		return KindIPAMHandle, true
	case "controllerconfiguration", "controllerconfigurations", "controllerconfig", "kubecontrollersconfiguration",
		"kubecontrollersconfigurations", "kubecontrollersconfig", "kubecontrollersconfigs":
		return KindControllerConfiguration, true
	case "clusterinformation", "clusterinformations", "clusterinfo", "clusterinfos":
		return KindClusterInformation, true
	}
	return parsePolicyKind(strings.ToLower(s))
}

// parsePolicyKind reads a kind of policy, in lower case. The short names are
// calicoctl's, and kubectl's where it has none.
func parsePolicyKind(s string) (Kind, bool) {
	switch s {
	case "tier", "tiers":
		return KindTier, true
	case "networkpolicy", "networkpolicies", "policy", "policies", "np", "nps", "pol", "pols":
		return KindNetworkPolicy, true
	case "globalnetworkpolicy", "globalnetworkpolicies", "gnp", "gnps", "gpol", "gpols":
		return KindGlobalNetworkPolicy, true
	case "stagednetworkpolicy", "stagednetworkpolicies", "snp", "snps":
		return KindStagedNetworkPolicy, true
	case "stagedglobalnetworkpolicy", "stagedglobalnetworkpolicies", "sgnp", "sgnps":
		return KindStagedGlobalNetworkPolicy, true
	case "networkset", "networksets", "netset", "netsets", "netsts":
		return KindNetworkSet, true
	case "globalnetworkset", "globalnetworksets", "gnetset", "gnetsets":
		return KindGlobalNetworkSet, true
	case "profile", "profiles", "pro", "pros":
		return KindProfile, true
	case "hostendpoint", "hostendpoints", "hep", "heps":
		return KindHostEndpoint, true
	case "serviceaccount", "serviceaccounts", "sa":
		return KindServiceAccount, true
	case "service", "services", "svc", "svcs":
		return KindService, true
	case "agentconfiguration", "agentconfigurations", "agentconfig", "agentconfigs",
		"felixconfiguration", "felixconfigurations", "felixconfig", "felixconfigs":
		return KindAgentConfiguration, true
	}
	return "", false
}

// KindOf returns the kind of a raw object; empty for a message that is none.
func KindOf(msg proto.Message) Kind {
	if msg == nil {
		return ""
	}
	kind := Kind(msg.ProtoReflect().Descriptor().Name())
	if f := oneofField(kind); f == nil || f.Message() != msg.ProtoReflect().Descriptor() {
		return ""
	}
	return kind
}

// Wrap puts a raw object into the API's oneof. A message that is no object
// gives an empty Resource.
func Wrap(msg proto.Message) *vrouterv1.Resource {
	r := &vrouterv1.Resource{}
	if kind := KindOf(msg); kind != "" {
		r.ProtoReflect().Set(oneofField(kind), protoreflect.ValueOfMessage(msg.ProtoReflect()))
	}
	return r
}

// Unwrap takes the raw object out of the API's oneof. An empty Resource is an
// *Invalid error.
func Unwrap(r *vrouterv1.Resource) (Kind, proto.Message, error) {
	var msg proto.Message
	m := r.ProtoReflect()
	one := m.WhichOneof(m.Descriptor().Oneofs().ByName("resource"))
	if one != nil && m.Get(one).Message().IsValid() {
		msg = m.Get(one).Message().Interface()
	}
	kind := KindOf(msg)
	if kind == "" {
		return "", nil, &Invalid{Problems: []Problem{{Path: "resource", Reason: "an object is needed"}}}
	}
	return kind, msg, nil
}

// MetadataOf returns the metadata of a raw object, made if it had none.
func MetadataOf(msg proto.Message) *vrouterv1.Metadata {
	return part(msg, "metadata").(*vrouterv1.Metadata)
}

// SpecOf returns the spec of a raw object, made if it had none.
func SpecOf(msg proto.Message) proto.Message { return part(msg, "spec") }

func part(msg proto.Message, name string) proto.Message {
	m := msg.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		if f := m.Descriptor().Fields().Get(i); string(f.Name()) == name {
			return m.Mutable(f).Message().Interface()
		}
	}
	panic(fmt.Sprintf("resource: %s has no %s", m.Descriptor().FullName(), name))
}

// IDOf returns what identifies a raw object in the store. The name of a
// WorkloadEndpoint is made of its identity (EndpointID.KeyName), never of
// metadata.name, so that it stays when the endpoint moves. That of a policy in the
// tier default is without the name of the tier.
func IDOf(msg proto.Message) ID {
	meta := metadata(msg)
	id := ID{Kind: KindOf(msg), Namespace: meta.GetNamespace(), Name: meta.GetName()}
	if w, ok := msg.(*vrouterv1.WorkloadEndpoint); ok {
		id.Name = EndpointIDOf(w).KeyName()
	} else if policy := policySpecOf(msg); policy != nil {
		id.Name = policyName(id.Name, policy.tierName())
	}
	return id
}

// metadata returns the metadata of a raw object, or nil.
func metadata(msg proto.Message) *vrouterv1.Metadata {
	m, _ := msg.(interface{ GetMetadata() *vrouterv1.Metadata })
	if m == nil {
		return nil
	}
	return m.GetMetadata()
}
