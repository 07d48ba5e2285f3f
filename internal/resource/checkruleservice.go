package resource

import (
	"errors"

	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// namespaceSelector reads that of an end of a rule, the only place where
// global() means something, if it stands there alone.
func (p *problems) namespaceSelector(path string, text *string) *selector.Selector {
	if text == nil || *text == "" {
		return nil
	}
	sel, err := parseAnySelector(*text)
	if err == nil && sel.HasGlobal() && sel.String() != "global()" {
		sel, err = nil, errors.New("global() cannot be combined with anything")
	}
	p.err(path, err)
	return sel
}

// serviceRef checks that of an end of a rule. It leaves out the namespace, which
// is then the policy's; one without namespace has to name it.
func (p *problems) serviceRef(path string, raw *vrouterv1.EntityRule, namespace string) *ServiceRef {
	services := raw.GetServices()
	if services == nil {
		return nil
	}
	at := join(path, "services")
	ref := &ServiceRef{Namespace: or(services.GetNamespace(), namespace), Name: services.GetName()}
	p.err(join(at, "name"), checkSubdomain(ref.Name))
	if ref.Namespace == "" {
		p.addf(join(at, "namespace"), "is needed, since there is none to stand for it")
	} else {
		p.err(join(at, "namespace"), checkDNSLabel(ref.Namespace))
	}
	accounts := raw.GetServiceAccounts()
	for _, f := range []struct {
		given bool
		field string
	}{
		{raw.GetSelector() != "", "selector"}, {raw.GetNotSelector() != "", "notSelector"},
		{raw.GetNamespaceSelector() != "", "namespaceSelector"}, {len(raw.GetNets()) > 0, "nets"},
		{len(raw.GetNotNets()) > 0, "notNets"},
		{len(accounts.GetNames()) > 0 || accounts.GetSelector() != "", "serviceAccounts"},
	} {
		if f.given {
			p.addf(join(path, f.field), "cannot be together with services")
		}
	}
	return ref
}

// ruleServices refuses services at the end that is the endpoint itself, and
// ports beside those that the service has.
func (p *problems) ruleServices(path string, raw *vrouterv1.Rule, d Direction) {
	source, destination := raw.GetSource().GetServices(), raw.GetDestination().GetServices()
	if d == DirectionEgress && source != nil {
		p.addf(join(path, "source.services"), "services can only be the destination of an egress rule")
	}
	if d == DirectionIngress && destination != nil {
		p.addf(join(path, "destination.services"), "services can only be the source of an ingress rule")
	}
	if destination == nil {
		return
	}
	const reason = "cannot be together with services, which have their own"
	if len(raw.GetDestination().GetPorts()) > 0 {
		p.addf(join(path, "destination.ports"), reason)
	}
	if len(raw.GetDestination().GetNotPorts()) > 0 {
		p.addf(join(path, "destination.notPorts"), reason)
	}
}
