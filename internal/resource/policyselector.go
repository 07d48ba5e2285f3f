package resource

import (
	"maps"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// A policy speaks of endpoints in several fields: selector, namespaceSelector,
// service accounts, and the namespace that it is in. Here they become one
// selector over one view of labels, as Calico's do:
//
//   - What has a namespace shows it as LabelNamespace, and the labels of the
//     namespace with NamespacePrefix. An endpoint with a service account shows
//     that as LabelServiceAccount, and its labels with ServiceAccountPrefix.
//   - A policy with a namespace is for endpoints of that namespace alone.
//   - A rule's selector, notSelector and serviceAccounts in such a policy mean
//     what is in the namespace, unless there is a namespaceSelector.
//   - In a namespaceSelector all() is whatever has a namespace, and global()
//     whatever has none: host endpoints and global network sets.
//   - A rule without any of these means any address. Where it has one, its
//     notSelector takes out objects that it selects, as in Calico; alone it
//     takes out addresses.

// Labels that objects show beside their own. They win over own ones: who may
// label an endpoint does not say where it is. Own labels win, as in Calico, over
// what is inherited, labels of the namespace included.
const (
	LabelNamespace      = "projectcalico.org/namespace"
	LabelServiceAccount = "projectcalico.org/serviceaccount"
	LabelOrchestrator   = "projectcalico.org/orchestrator"
	// LabelName is on every namespace and service account, and is its name.
	LabelName = "projectcalico.org/name"
)

// Prefixes of the labels of a namespace, and of a service account.
const (
	NamespacePrefix      = "pcns."
	ServiceAccountPrefix = "pcsa."
)

// EndpointLabels returns what the endpoint shows of itself. It inherits beneath
// that NamespaceLabels, ServiceAccountLabels and the labels of its profiles.
func EndpointLabels(w *WorkloadEndpoint) map[string]string {
	labels := make(map[string]string, len(w.Labels)+3)
	ShowEndpointLabels(w, labels)
	return labels
}

// ShowEndpointLabels writes EndpointLabels into an empty map: for who asks of
// very many, one after the other.
func ShowEndpointLabels(w *WorkloadEndpoint, labels map[string]string) {
	maps.Copy(labels, w.Labels)
	labels[LabelNamespace], labels[LabelOrchestrator] = w.Namespace, w.Endpoint.Orchestrator
	if w.ServiceAccount != "" {
		labels[LabelServiceAccount] = w.ServiceAccount
	}
}

// NetworkSetLabels returns what the set shows of itself. One with a namespace
// inherits NamespaceLabels beneath that.
func NetworkSetLabels(s *NetworkSet) map[string]string {
	if s.Namespace == "" {
		return s.Labels
	}
	labels := make(map[string]string, len(s.Labels)+1)
	maps.Copy(labels, s.Labels)
	labels[LabelNamespace] = s.Namespace
	return labels
}

// NamespaceLabels returns what all that is in the namespace inherits. A
// namespace that is not stored has no labels; its name is known all the same.
func NamespaceLabels(name string, labels map[string]string) map[string]string {
	return prefixed(NamespacePrefix, name, labels)
}

// ServiceAccountLabels returns what endpoints of the service account inherit.
func ServiceAccountLabels(name string, labels map[string]string) map[string]string {
	return prefixed(ServiceAccountPrefix, name, labels)
}

func prefixed(prefix, name string, labels map[string]string) map[string]string {
	shown := make(map[string]string, len(labels)+1)
	for key, value := range labels {
		shown[prefix+key] = value
	}
	shown[prefix+LabelName] = name
	return shown
}

// subject is the parts of a policy's selector; nil where nothing is said.
type subject struct {
	namespace                            string // of the policy; empty: none
	own, namespaceSelector, accountLabel *selector.Selector
}

// selector composes them.
func (s subject) selector() *selector.Selector {
	if s.namespace != "" {
		terms := []*selector.Selector{selector.Equal(LabelNamespace, s.namespace)}
		if s.own != nil {
			terms = append(terms, s.own)
		}
		if s.accountLabel != nil {
			terms = append(terms, s.accountLabel.WithPrefix(ServiceAccountPrefix))
		}
		return selector.And(terms...)
	}
	sel := narrowed(s.own, s.namespaceSelector, NamespacePrefix, LabelNamespace)
	sel = narrowed(sel, s.accountLabel, ServiceAccountPrefix, LabelServiceAccount)
	if sel == nil {
		return selector.All()
	}
	return sel
}

// narrowed returns what of sel has a namespace, or a service account, that by
// selects. all() in either then means whatever has one.
func narrowed(sel, by *selector.Selector, prefix, label string) *selector.Selector {
	if by == nil {
		return sel
	}
	by = by.WithPrefix(prefix).Replace(selector.Has(label), nil)
	if sel == nil {
		return by
	}
	return selector.And(sel.Replace(selector.Has(label), nil), by)
}

// peer is the parts of the selector of an end of a rule; nil where nothing is
// said.
type peer struct {
	namespace                       string // of the policy; empty: none
	own, namespaceSelector, account *selector.Selector
	accounts                        []string // names of service accounts
	not                             *selector.Selector
}

// selectors composes them: what an address must be of, nil is anything, and what
// it must not be of.
func (p peer) selectors() (is, isNot *selector.Selector) {
	var where *selector.Selector
	switch {
	case p.namespaceSelector != nil:
		inAny := selector.Has(LabelNamespace)
		where = p.namespaceSelector.WithPrefix(NamespacePrefix).Replace(inAny, selector.Not(inAny))
	case p.namespace != "":
		where = selector.Equal(LabelNamespace, p.namespace)
	}
	var terms []*selector.Selector
	if p.account != nil {
		terms = append(terms, p.account.WithPrefix(ServiceAccountPrefix))
	}
	if len(p.accounts) > 0 {
		terms = append(terms, selector.In(LabelServiceAccount, p.accounts...))
	}
	if p.own != nil {
		terms = append(terms, p.own)
	}
	if where != nil && (len(terms) > 0 || p.not != nil || p.namespaceSelector != nil) {
		terms = append([]*selector.Selector{where}, terms...)
	}
	if len(terms) == 0 {
		return nil, p.not
	}
	if p.not != nil {
		terms = append(terms, selector.Not(p.not))
	}
	return selector.And(terms...), nil
}
