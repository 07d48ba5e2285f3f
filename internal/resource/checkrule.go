package resource

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// policyRules checks the rules of a direction. The namespace is the policy's; empty:
// none.
func (p *problems) policyRules(path string, raw []*vrouterv1.Rule, namespace string, d Direction) []Rule {
	if len(raw) > MaxRules {
		p.addf(path, "%d rules, at most %d are allowed", len(raw), MaxRules)
		return nil
	}
	var list []Rule
	for i, r := range raw {
		list = append(list, p.policyRule(index(path, i), r, namespace, d))
	}
	return list
}

func (p *problems) policyRule(path string, raw *vrouterv1.Rule, namespace string, d Direction) Rule {
	r := Rule{
		Action:      p.action(join(path, "action"), raw.GetAction()),
		Protocol:    p.protocol(join(path, "protocol"), raw.GetProtocol()),
		NotProtocol: p.protocol(join(path, "notProtocol"), raw.GetNotProtocol()),
	}
	if raw != nil && raw.IpVersion != nil {
		r.IPVersion = p.ipVersion(join(path, "ipVersion"), *raw.IpVersion)
	}
	p.ruleFamily(path, &r)
	r.ICMP = p.icmp(join(path, "icmp"), raw.GetIcmp(), &r)
	r.NotICMP = p.icmp(join(path, "notICMP"), raw.GetNotIcmp(), &r)
	r.Source = p.entity(join(path, "source"), raw.GetSource(), namespace)
	r.Destination = p.entity(join(path, "destination"), raw.GetDestination(), namespace)
	p.ruleServices(path, raw, d)
	p.rulePorts(path, raw, r.Protocol)
	p.ruleNetworks(path, &r)
	p.unsupported(len(raw.GetHttp().GetMethods())+len(raw.GetHttp().GetPaths()) > 0, join(path, "http"), "")
	p.labels(join(path, "metadata.annotations"), raw.GetMetadata().GetAnnotations(), true)
	return r
}

func (p *problems) ipVersion(path string, v int32) uint8 {
	if v != 4 && v != 6 {
		p.addf(path, "%d is neither 4 nor 6", v)
		return 0
	}
	return uint8(v)
}

func (p *problems) action(path, text string) Action {
	for a := ActionAllow; a <= ActionLog; a++ {
		if a.String() == text {
			return a
		}
	}
	if text == "" {
		p.addf(path, "one of Allow, Deny, Log, Pass is needed")
	} else {
		p.addf(path, "%q is none of Allow, Deny, Log, Pass", text)
	}
	return 0
}

// protocol reads a protocol; zero if it is absent, or wrong, which is reported.
func (p *problems) protocol(path string, v *structpb.Value) uint8 {
	if v == nil {
		return 0
	}
	n, err := parseProtocol(v)
	p.err(path, err)
	return n
}

// ruleFamily holds the family against protocols that only one family has.
func (p *problems) ruleFamily(path string, r *Rule) {
	for _, f := range []struct {
		field    string
		protocol uint8
	}{{"protocol", r.Protocol}, {"notProtocol", r.NotProtocol}} {
		if want := familyOf(f.protocol); want != 0 && r.IPVersion != 0 && want != r.IPVersion {
			p.addf(join(path, "ipVersion"), "%d, but %s %s is of version %d", r.IPVersion, f.field, ProtocolName(f.protocol), want)
		}
	}
}

// familyOf returns the only version of IP that has the protocol; zero: both.
func familyOf(protocol uint8) uint8 {
	switch protocol {
	case protocolICMP:
		return 4
	case protocolICMPv6:
		return 6
	}
	return 0
}

// icmp reads type and code. They need to be of one protocol, which decides the
// family of the rule.
func (p *problems) icmp(path string, raw *vrouterv1.ICMPFields, r *Rule) *ICMP {
	if raw == nil || raw.Type == nil && raw.Code == nil {
		return nil
	}
	if familyOf(r.Protocol) == 0 {
		p.addf(path, "needs protocol ICMP or ICMPv6")
	} else if r.IPVersion == 0 {
		r.IPVersion = familyOf(r.Protocol)
	}
	if raw.Type == nil {
		p.addf(join(path, "type"), "is needed with a code")
		return nil
	}
	const lastType = 254 // as in Calico: 255 is reserved (RFC 2780 §5.7)
	if t := raw.GetType(); t < 0 || t > lastType {
		p.addf(join(path, "type"), "%d is not between 0 and %d", t, lastType)
	}
	icmp := &ICMP{Type: uint8(raw.GetType())}
	if raw.Code != nil {
		if c := raw.GetCode(); c < 0 || c > math.MaxUint8 {
			p.addf(join(path, "code"), "%d is not between 0 and %d", c, math.MaxUint8)
		}
		code := uint8(raw.GetCode())
		icmp.Code = &code
	}
	return icmp
}

// entity checks one end of a rule.
func (p *problems) entity(path string, raw *vrouterv1.EntityRule, namespace string) Entity {
	if raw == nil {
		return Entity{}
	}
	not := p.selector(join(path, "notSelector"), raw.NotSelector)
	e := Entity{
		Nets:     p.ruleNets(join(path, "nets"), raw.Nets),
		NotNets:  p.ruleNets(join(path, "notNets"), raw.NotNets),
		Ports:    p.portList(join(path, "ports"), raw.Ports),
		NotPorts: p.portList(join(path, "notPorts"), raw.NotPorts),
		Service:  p.serviceRef(path, raw, namespace),
	}
	accounts := raw.GetServiceAccounts()
	for i, name := range accounts.GetNames() {
		p.err(index(join(path, "serviceAccounts.names"), i), checkSubdomain(name))
	}
	parts := peer{
		namespace: namespace,
		own:       p.selector(join(path, "selector"), raw.Selector),
		accounts:  accounts.GetNames(),
		not:       not,
	}
	if accounts != nil {
		parts.account = p.selector(join(path, "serviceAccounts.selector"), accounts.Selector)
	}
	parts.namespaceSelector = p.namespaceSelector(join(path, "namespaceSelector"), raw.NamespaceSelector)
	e.Selector, e.NotSelector = parts.selectors()
	return e
}

func (p *problems) ruleNets(path string, texts []string) []netip.Prefix {
	if len(texts) > MaxRuleNetworks {
		p.addf(path, "%d networks, at most %d are allowed", len(texts), MaxRuleNetworks)
		return nil
	}
	var list []netip.Prefix
	for _, net := range p.ranges(path, texts) {
		if !slices.Contains(list, net) {
			list = append(list, net)
		}
	}
	return list
}

func (p *problems) portList(path string, values []*structpb.Value) []Port {
	if len(values) > MaxRulePorts {
		p.addf(path, "%d ports, at most %d are allowed", len(values), MaxRulePorts)
		return nil
	}
	var list []Port
	for i, v := range values {
		port, err := parsePort(v)
		p.err(index(path, i), err)
		list = append(list, port)
	}
	return list
}

// rulePorts refuses ports where the protocol has none, or is not said.
func (p *problems) rulePorts(path string, raw *vrouterv1.Rule, protocol uint8) {
	if hasPorts(protocol) || p.has(join(path, "protocol")) {
		return
	}
	for _, side := range []struct {
		name   string
		entity *vrouterv1.EntityRule
	}{{"source", raw.GetSource()}, {"destination", raw.GetDestination()}} {
		for _, f := range []struct {
			name   string
			values []*structpb.Value
		}{{"ports", side.entity.GetPorts()}, {"notPorts", side.entity.GetNotPorts()}} {
			if len(f.values) == 0 {
				continue
			}
			reason := "need protocol TCP, UDP or SCTP"
			if protocol != 0 {
				reason += ", not " + ProtocolName(protocol)
			}
			p.addf(join(join(path, side.name), f.name), "%s", reason)
		}
	}
}

// ruleNetworks refuses networks of both families, or of another than the
// rule's: a packet has one.
func (p *problems) ruleNetworks(path string, r *Rule) {
	var first netip.Prefix
	for _, f := range []struct {
		field string
		nets  []netip.Prefix
	}{
		{"source.nets", r.Source.Nets}, {"source.notNets", r.Source.NotNets},
		{"destination.nets", r.Destination.Nets}, {"destination.notNets", r.Destination.NotNets},
	} {
		for _, net := range f.nets {
			if !first.IsValid() {
				first = net
			}
			var err error
			switch {
			case r.IPVersion != 0 && net.Addr().Is4() != (r.IPVersion == 4):
				err = fmt.Errorf("%s is not of IP version %d, which the rule is for", net, r.IPVersion)
			case net.Addr().Is4() != first.Addr().Is4():
				err = fmt.Errorf("%s and %s are of different families, which no packet has both; write two rules", first, net)
			}
			if err != nil {
				p.err(join(path, f.field), err)
				break
			}
		}
	}
}
