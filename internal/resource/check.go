package resource

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Check converts a raw object to its checked form. All that is wrong comes in
// one *Invalid, with the path of each problem; a field that is known but not
// built is refused as unsupported when it is set to other than its default.
// The object need not be canonical: what Canonicalize fills in, Check assumes.
// Unknown fields are no problem here; see CheckUnknown.
func Check(msg proto.Message) (Object, error) {
	if kind := KindOf(msg); kind == "" || slices.Contains(IPAMKinds(), kind) {
		return nil, fmt.Errorf("check %s: not an object of the API", msg.ProtoReflect().Descriptor().FullName())
	}
	var p problems
	meta := p.meta(msg)
	var object Object
	switch m := msg.(type) {
	case *vrouterv1.Node:
		object = p.node(meta, m.GetSpec())
	case *vrouterv1.WorkloadEndpoint:
		object = p.endpoint(meta, m)
	case *vrouterv1.IPPool:
		object = p.pool(meta, m.GetSpec())
	case *vrouterv1.BGPConfiguration:
		object = p.configuration(meta, m.GetSpec())
	case *vrouterv1.BGPPeer:
		object = p.peer(meta, m.GetSpec())
	case *vrouterv1.BGPPeerGroup:
		object = &BGPPeerGroup{Meta: meta, Settings: p.settings("spec", m.GetSpec())}
	case *vrouterv1.BGPFilter:
		object = p.filter(meta, m.GetSpec())
	case *vrouterv1.Secret:
		object = p.secret(meta, m.GetSpec())
	case *vrouterv1.ReflectorGroup:
		object = p.reflectorGroup(meta, m.GetSpec())
	case *vrouterv1.ReflectorMembership:
		object = p.membership(meta, m.GetSpec())
	case *vrouterv1.Namespace:
		object = &Namespace{Meta: meta}
	case *vrouterv1.IPReservation:
		object = p.reservation(meta, m.GetSpec())
	case *vrouterv1.IPAMConfiguration:
		object = p.addressManagement(meta, m.GetSpec())
	case *vrouterv1.ControllerConfiguration:
		object = p.controllers(meta, m.GetSpec())
	case *vrouterv1.ClusterInformation:
		object = p.cluster(meta, m.GetSpec())
	default:
		object = p.policyKind(meta, msg)
	}
	if err := p.invalid(); err != nil {
		return nil, err
	}
	return object, nil
}

// meta checks what every kind has: type and metadata.
func (p *problems) meta(msg proto.Message) Meta {
	id := IDOf(msg)
	raw := metadata(msg)
	typed := msg.(interface {
		GetApiVersion() string
		GetKind() string
	})
	if v := typed.GetApiVersion(); v != "" && !slices.Contains(apiVersions(), v) {
		p.addf("apiVersion", "%q is none of %s", v, strings.Join(apiVersions(), ", "))
	}
	if k := typed.GetKind(); k != "" && k != string(id.Kind) {
		p.addf("kind", "%q, but the object is a %s", k, id.Kind)
	}
	if id.Kind != KindWorkloadEndpoint { // whose name is computed
		p.err("metadata.name", checkSubdomain(id.Name))
	}
	switch {
	case !Namespaced(id.Kind) && id.Namespace != "":
		p.addf("metadata.namespace", "a %s has no namespace", id.Kind)
	case Namespaced(id.Kind):
		if id.Namespace == "" {
			id.Namespace = DefaultNamespace
		}
		p.err("metadata.namespace", checkDNSLabel(id.Namespace))
	}
	p.labels("metadata.labels", raw.GetLabels(), false)
	p.labels("metadata.annotations", raw.GetAnnotations(), true)
	return Meta{
		ID:       id,
		Labels:   maps.Clone(raw.GetLabels()), // the raw object may change, the checked one must not
		UID:      raw.GetUid(),
		Revision: p.revision(raw.GetResourceVersion()),
	}
}

func (p *problems) revision(text string) int64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		p.addf("metadata.resourceVersion", "%q is not a resource version", text)
	}
	return n
}

// apiVersions returns what apiVersion may say once an object has been read;
// manifests may say more.
func apiVersions() []string { return []string{APIVersion, OwnAPIVersion} }

// oneOf checks a text against the values that it may have. The first is the
// only one that is built.
func (p *problems) oneOf(path string, text *string, built string, others ...string) {
	if text == nil || *text == "" || *text == built {
		return
	}
	if slices.Contains(others, *text) {
		p.unsupported(true, path, built)
		return
	}
	p.addf(path, "%q is none of %s", *text, strings.Join(append([]string{built}, others...), ", "))
}

// cluster checks the ClusterInformation.
func (p *problems) cluster(meta Meta, spec *vrouterv1.ClusterInformationSpec) *ClusterInformation {
	if meta.Name != DefaultName {
		p.addf("metadata.name", "%q, but there is one ClusterInformation, named %q", meta.Name, DefaultName)
	}
	ready := spec == nil || spec.DatastoreReady == nil || *spec.DatastoreReady
	if lock := spec.GetDatastoreLock(); lock != nil {
		if ready {
			p.addf("spec.datastoreLock", "is set only while datastoreReady is false")
		}
		if _, err := time.Parse(time.RFC3339, lock.GetSince()); lock.Since != nil && err != nil {
			p.addf("spec.datastoreLock.since", "%q is not a time as RFC 3339 has it", lock.GetSince())
		}
	}
	return &ClusterInformation{Meta: meta}
}
