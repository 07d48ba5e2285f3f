package resource

import (
	"net"
	"net/netip"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// What is written to objects: Calico's version to those of the kinds that
// Calico has, our own to the others. Both are accepted for every kind.
const (
	APIVersion    = "projectcalico.org/v3"
	OwnAPIVersion = "vrouter/v1"
)

// DefaultNamespace is where an object of a kind with namespaces lives when it
// names none.
const DefaultNamespace = "default"

// The block sizes of pools that state none, as prefix lengths.
const (
	defaultBlockSize4 = 26
	defaultBlockSize6 = 122
)

// Canonicalize brings a raw object into the one form in which it is stored:
// fields that say nothing (empty text, empty messages) are dropped, defaults
// are filled in as Calico does, addresses and numbers are written in one way.
// What it cannot read it leaves alone, for Check to refuse. Lists keep their
// order. It is idempotent.
func Canonicalize(msg proto.Message) {
	kind := KindOf(msg)
	shapeUp(msg)
	meta, spec := MetadataOf(msg), SpecOf(msg)
	if meta.Namespace == nil && Namespaced(kind) {
		meta.Namespace = proto.String(DefaultNamespace)
	}
	switch spec := spec.(type) {
	case *vrouterv1.NodeSpec:
		canonicalizeNode(spec)
	case *vrouterv1.IPPoolSpec:
		canonicalizePool(spec)
	case *vrouterv1.BGPConfigurationSpec:
		canonicalizeConfiguration(spec)
	case *vrouterv1.BGPPeerSpec:
		canonicalizePeer(spec)
	case *vrouterv1.BGPSessionSettings:
		canonicalizeSettings(spec)
	case *vrouterv1.BGPFilterSpec:
		canonicalizeFilter(spec)
	case *vrouterv1.IPReservationSpec:
		canonicalizeRanges(spec.ReservedCidrs)
	case *vrouterv1.IPAMConfigurationSpec:
		canonicalizeRanges(spec.ForeignCidrs)
	case *vrouterv1.SecretSpec:
		canonicalizeSecret(spec)
	case *vrouterv1.WorkloadEndpointSpec:
		canonicalizeEndpoint(msg.(*vrouterv1.WorkloadEndpoint), spec)
	default:
		canonicalizePolicyKind(msg)
	}
}

// shapeUp drops what says nothing, and adds what every object has.
func shapeUp(msg proto.Message) {
	prune(msg.ProtoReflect())
	setText(msg, "api_version", apiVersion(KindOf(msg)))
	setText(msg, "kind", string(KindOf(msg)))
	MetadataOf(msg)
	SpecOf(msg)
}

func canonicalizeNode(spec *vrouterv1.NodeSpec) {
	if spec.Bgp == nil {
		return
	}
	canonicalizeAS(spec.Bgp.AsNumber)
	canonicalizePrefix(spec.Bgp.Ipv4Address)
	canonicalizePrefix(spec.Bgp.Ipv6Address)
}

func canonicalizePool(spec *vrouterv1.IPPoolSpec) {
	canonicalizeCIDR(spec.Cidr)
	if cidr, err := netip.ParsePrefix(spec.GetCidr()); err == nil && spec.BlockSize == nil {
		spec.BlockSize = proto.Int32(defaultBlockSize(cidr))
	}
	for _, mode := range []**string{&spec.IpipMode, &spec.VxlanMode} {
		if *mode == nil {
			*mode = proto.String(string(EncapNever))
		}
	}
	if spec.NodeSelector == nil {
		spec.NodeSelector = proto.String("all()")
	}
	if len(spec.AllowedUses) == 0 {
		spec.AllowedUses = []string{string(UseWorkload), string(UseTunnel)}
	}
	if spec.AssignmentMode == nil {
		spec.AssignmentMode = proto.String(assignAutomatic)
	}
}

func defaultBlockSize(cidr netip.Prefix) int32 {
	if cidr.Addr().Is4() {
		return defaultBlockSize4
	}
	return defaultBlockSize6
}

func canonicalizeEndpoint(w *vrouterv1.WorkloadEndpoint, spec *vrouterv1.WorkloadEndpointSpec) {
	if workload := workloadOf(spec); workload != "" {
		spec.Workload = proto.String(workload)
	}
	for i := range spec.IpNetworks {
		canonicalizePrefix(&spec.IpNetworks[i])
	}
	if mac, err := net.ParseMAC(spec.GetMac()); err == nil {
		spec.Mac = proto.String(mac.String())
	}
	for _, port := range spec.Ports {
		canonicalizeProtocol(port.Protocol)
	}
	// Calico's own form is accepted and becomes ours where the two differ.
	if name := w.Metadata.GetName(); name == "" || name == calicoEndpointName(w) {
		w.Metadata.Name = proto.String(EndpointName(spec.GetNode(), EndpointIDOf(w)))
	}
}

// calicoEndpointName is the name that Calico gives an endpoint: its third part
// is the pod or the container even where spec.workload says something else.
func calicoEndpointName(w *vrouterv1.WorkloadEndpoint) string {
	id := EndpointIDOf(w)
	if workload := calicoWorkload(w.GetSpec()); workload != "" {
		id.Workload = workload
	}
	return EndpointName(w.GetSpec().GetNode(), id)
}

// canonicalizePrefix writes an address or prefix as netip does; an address
// gets its full length. Host bits are kept.
func canonicalizePrefix(text *string) {
	if text == nil {
		return
	}
	if p, err := parsePrefix(*text); err == nil {
		*text = p.String()
	}
}

// canonicalizeAS turns text in any notation into a number.
func canonicalizeAS(v *structpb.Value) {
	if _, ok := v.GetKind().(*structpb.Value_StringValue); !ok {
		return
	}
	if as, err := parseAnyAS(v); err == nil {
		v.Kind = &structpb.Value_NumberValue{NumberValue: float64(as)}
	}
}

// prune clears what says nothing: empty text, and messages without any field.
// Elements of lists and values of maps stay, since their number has a meaning.
func prune(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
		case f.IsList():
			for i := 0; f.Message() != nil && !isValue(f) && i < v.List().Len(); i++ {
				prune(v.List().Get(i).Message())
			}
		case f.Kind() == protoreflect.StringKind:
			if v.String() == "" {
				m.Clear(f)
			}
		case f.Message() != nil && !isValue(f) && !isListValue(f):
			prune(v.Message())
			if isEmpty(v.Message()) && listOf(f) == nil {
				m.Clear(f)
			}
		}
		return true
	})
}

func isEmpty(m protoreflect.Message) bool {
	empty := len(m.GetUnknown()) == 0
	m.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool {
		empty = false
		return false
	})
	return empty
}

// isValue tells whether the field holds a number or a text, whichever comes.
func isValue(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && f.Message().FullName() == "google.protobuf.Value"
}

// isListValue tells whether the field holds a list that may be empty, which
// differs from no list.
func isListValue(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && f.Message().FullName() == "google.protobuf.ListValue"
}

// listOf returns the field of the list that a message stands for: one that may
// be empty, which differs from no list, of other than plain values; nil if the
// field holds no such message.
func listOf(f protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if f.Message() == nil || f.IsList() || isListValue(f) || !strings.HasSuffix(string(f.Message().Name()), "List") {
		return nil
	}
	return f.Message().Fields().ByName("values")
}

func setText(msg proto.Message, field protoreflect.Name, text string) {
	m := msg.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName(field), protoreflect.ValueOfString(text))
}
