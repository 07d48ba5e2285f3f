package resource

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Orchestrators whose endpoints Calico names by something other than
// spec.workload.
const (
	orchestratorKubernetes = "k8s"        // spec.pod
	orchestratorCNI        = "cni"        // spec.containerID
	orchestratorLibnetwork = "libnetwork" // the orchestrator again
)

// maxPart is how many bytes a part of an endpoint's identity may have, so that
// the key of the whole stays below 4 KiB even if every byte is escaped.
const maxPart = 253

// EndpointIDOf returns the identity that a raw endpoint states. Where Calico
// leaves spec.workload out, it is the pod, or the container.
func EndpointIDOf(w *vrouterv1.WorkloadEndpoint) EndpointID {
	spec := w.GetSpec()
	return EndpointID{
		Namespace:    w.GetMetadata().GetNamespace(),
		Orchestrator: spec.GetOrchestrator(),
		Workload:     workloadOf(spec),
		Endpoint:     spec.GetEndpoint(),
	}
}

func workloadOf(spec *vrouterv1.WorkloadEndpointSpec) string {
	if w := spec.GetWorkload(); w != "" {
		return w
	}
	return calicoWorkload(spec)
}

// calicoWorkload is the third part of the name that Calico gives the endpoint.
func calicoWorkload(spec *vrouterv1.WorkloadEndpointSpec) string {
	switch spec.GetOrchestrator() {
	case orchestratorKubernetes:
		return spec.GetPod()
	case orchestratorCNI:
		return spec.GetContainerId()
	case orchestratorLibnetwork:
		return orchestratorLibnetwork
	}
	return spec.GetWorkload()
}

// KeyName returns the endpoint's name in keys and in resource.ID:
// ORCHESTRATOR/WORKLOAD/ENDPOINT, with slashes and percent signs inside the
// parts escaped. The node is no part of it, so that a move keeps the key.
func (id EndpointID) KeyName() string {
	return escapePart(id.Orchestrator) + "/" + escapePart(id.Workload) + "/" + escapePart(id.Endpoint)
}

// ParseEndpointKeyName takes apart what KeyName made.
func ParseEndpointKeyName(namespace, name string) (EndpointID, error) {
	part := strings.Split(name, "/")
	if len(part) != 3 {
		return EndpointID{}, fmt.Errorf("endpoint %q: not of the form ORCHESTRATOR/WORKLOAD/ENDPOINT", name)
	}
	for i, p := range part {
		text := unescapePart(p)
		if text == "" || escapePart(text) != p {
			return EndpointID{}, fmt.Errorf("endpoint %q: part %q is not in canonical form", name, p)
		}
		part[i] = text
	}
	return EndpointID{Namespace: namespace, Orchestrator: part[0], Workload: part[1], Endpoint: part[2]}, nil
}

// EndpointName returns the name that Calico gives an endpoint on a node:
// NODE-ORCHESTRATOR-WORKLOAD-ENDPOINT, with the dashes inside a part doubled.
// It is what metadata.name shows. Slashes, which Calico does not allow, are
// escaped as in a key.
func EndpointName(node string, id EndpointID) string {
	part := []string{node, id.Orchestrator, id.Workload, id.Endpoint}
	for i, p := range part {
		part[i] = strings.ReplaceAll(escapePart(p), "-", "--")
	}
	return strings.Join(part, "-")
}

// ParseEndpointName takes apart what EndpointName made.
func ParseEndpointName(namespace, name string) (node string, id EndpointID, err error) {
	const mark = "\x00" // in no name
	if strings.Contains(name, mark) {
		return "", EndpointID{}, fmt.Errorf("endpoint %q: holds a zero byte", name)
	}
	part := strings.Split(strings.ReplaceAll(name, "--", mark), "-")
	if len(part) != 4 {
		return "", EndpointID{}, fmt.Errorf(
			"endpoint %q: not of the form NODE-ORCHESTRATOR-WORKLOAD-ENDPOINT with inner dashes doubled", name)
	}
	for i, p := range part {
		part[i] = unescapePart(strings.ReplaceAll(p, mark, "-"))
	}
	id = EndpointID{Namespace: namespace, Orchestrator: part[1], Workload: part[2], Endpoint: part[3]}
	if EndpointName(part[0], id) != name {
		return "", EndpointID{}, fmt.Errorf("endpoint %q: not in canonical form", name)
	}
	for _, p := range part {
		if err := checkPart(p); err != nil {
			return "", EndpointID{}, fmt.Errorf("endpoint %q: part %q: %w", name, p, err)
		}
	}
	return part[0], id, nil
}

// FindID returns the identity of the object that an operator names. For a
// WorkloadEndpoint the name is Calico's (the node in it does not count), or
// ORCHESTRATOR/WORKLOAD/ENDPOINT; that of a block may be its CIDR, that of an
// affinity NODE/CIDR, that of a policy default.NAME; for other kinds it is the
// object's own.
func FindID(kind Kind, namespace, name string) (ID, error) {
	id := ID{Kind: kind, Namespace: namespace, Name: name}
	if slices.Contains(PolicyKinds(), kind) {
		id.Name = policyName(name, DefaultTier)
		return id, nil
	}
	if kind != KindWorkloadEndpoint {
		var err error
		id.Name, err = findIPAM(kind, name)
		return id, err
	}
	if strings.Contains(name, "/") {
		_, err := ParseEndpointKeyName(namespace, name)
		return id, err
	}
	_, endpoint, err := ParseEndpointName(namespace, name)
	id.Name = endpoint.KeyName()
	return id, err
}

// checkPart says why a text cannot be a part of an endpoint's identity.
func checkPart(s string) error {
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > maxPart:
		return fmt.Errorf("%d bytes long, at most %d are allowed", len(s), maxPart)
	case s[0] == '-' || s[len(s)-1] == '-':
		return fmt.Errorf("%q begins or ends with a dash, which separates the parts of an endpoint's name", s)
	}
	for _, r := range s {
		if !printable(r) {
			return fmt.Errorf("%q holds a blank or a control character", s)
		}
	}
	return nil
}

func escapePart(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "%", "%25"), "/", "%2F")
}

func unescapePart(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "%2F", "/"), "%25", "%")
}
