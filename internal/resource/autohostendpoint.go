package resource

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// How HostEndpoints that the controller makes are told from those of people:
// by Calico's label, so that selectors written for it hold, and by how their
// names end. One without both is never touched.
const (
	LabelCreatedBy         = "projectcalico.org/created-by"
	CreatedByController    = "calico-kube-controllers"
	AutoHostEndpointSuffix = "-auto-hep"
)

// AutoHostEndpoints says which HostEndpoints are made for nodes.
type AutoHostEndpoints struct {
	Enabled   bool
	Default   bool // for each node one of all its interfaces
	Templates []HostEndpointTemplate
}

// HostEndpointTemplate says what else is made: for the addresses of a node that
// lie in Nets one without an interface, and one for each interface of the node
// that Interfaces matches.
type HostEndpointTemplate struct {
	Name       string // part of the names of what is made
	Nets       []netip.Prefix
	Interfaces *regexp.Regexp // nil: none
	Nodes      *selector.Selector
	Labels     map[string]string // over those of the node
}

func (p *problems) autoHostEndpoints(path string, raw *vrouterv1.AutoHostEndpoint) AutoHostEndpoints {
	p.enabled(path+".autoCreate", raw.GetAutoCreate())
	p.enabled(path+".createDefaultHostEndpoint", raw.GetCreateDefaultHostEndpoint())
	auto := AutoHostEndpoints{
		Enabled: strings.EqualFold(raw.GetAutoCreate(), "Enabled"),
		Default: !strings.EqualFold(raw.GetCreateDefaultHostEndpoint(), "Disabled"),
	}
	seen := make(map[string]bool)
	for i, template := range raw.GetTemplates() {
		at := index(path+".templates", i)
		t := p.hostEndpointTemplate(at, template)
		if seen[t.Name] {
			p.addf(join(at, "generateName"), "%q is the name of another template", t.Name)
		}
		seen[t.Name] = true
		auto.Templates = append(auto.Templates, t)
	}
	return auto
}

// enabled refuses what is neither Enabled nor Disabled, nor empty.
func (p *problems) enabled(path, text string) {
	if text != "" && !strings.EqualFold(text, "Enabled") && !strings.EqualFold(text, "Disabled") {
		p.addf(path, "%q is none of Enabled, Disabled", text)
	}
}

func (p *problems) hostEndpointTemplate(path string, raw *vrouterv1.HostEndpointTemplate) HostEndpointTemplate {
	t := HostEndpointTemplate{
		Name:   raw.GetGenerateName(),
		Nodes:  p.selector(join(path, "nodeSelector"), raw.NodeSelector),
		Labels: raw.GetLabels(),
	}
	p.err(join(path, "generateName"), checkSubdomain(t.Name))
	p.labels(join(path, "labels"), t.Labels, false)
	for i, text := range raw.GetInterfaceCidrs() {
		net, err := parsePrefix(text)
		p.err(index(join(path, "interfaceCIDRs"), i), err)
		if err == nil {
			t.Nets = append(t.Nets, net.Masked())
		}
	}
	if pattern := raw.GetInterfacePattern(); pattern != "" {
		var err error
		t.Interfaces, err = regexp.Compile(pattern)
		p.err(join(path, "interfacePattern"), err)
	}
	if len(raw.GetInterfaceCidrs()) == 0 && raw.GetInterfacePattern() == "" {
		p.addf(path, "interfaceCIDRs or interfacePattern is needed")
	}
	return t
}

// ValidHostEndpointName tells whether an object may have a name that was put together.
func ValidHostEndpointName(name string) bool { return checkSubdomain(name) == nil }
