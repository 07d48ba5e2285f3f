package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
)

// Here a world is resolved as plainly as can be, to hold the resolver against.

// labelsOf is what an object shows to selectors, worked out plainly.
func (w *world) labelsOf(own map[string]string, namespace, account string, profiles []string) map[string]string {
	view := maps.Clone(own)
	if view == nil {
		view = make(map[string]string)
	}
	inherit := func(labels map[string]string) {
		for key, value := range labels {
			if _, ok := view[key]; !ok {
				view[key] = value
			}
		}
	}
	if namespace != "" {
		var labels map[string]string
		if n := w.objects[resource.ID{Kind: resource.KindNamespace, Name: namespace}]; n != nil {
			labels = n.Metadata().Labels
		}
		inherit(resource.NamespaceLabels(namespace, labels))
	}
	if account != "" {
		var labels map[string]string
		if a := w.objects[resource.ID{Kind: resource.KindServiceAccount, Namespace: namespace, Name: account}]; a != nil {
			labels = a.Metadata().Labels
		}
		inherit(resource.ServiceAccountLabels(account, labels))
	}
	for _, name := range profiles {
		if p, ok := w.objects[resource.ID{Kind: resource.KindProfile, Name: name}].(*resource.Profile); ok {
			inherit(p.LabelsToApply)
		}
	}
	return view
}

// sets is what the sets of selectors in a state have to hold, by their origin.
func (w *world) sets(s *State) map[string][]string {
	want := make(map[string][]string)
	for _, set := range s.Sets {
		sel, err := selector.Parse(set.Origin)
		if err != nil || set.Kind == Ports {
			continue
		}
		found := make(map[string]bool)
		for _, obj := range w.objects {
			var labels map[string]string
			var prefixes []netip.Prefix
			switch o := obj.(type) {
			case *resource.WorkloadEndpoint:
				labels, prefixes = w.labelsOf(resource.EndpointLabels(o), o.Namespace, o.ServiceAccount, o.Profiles), singles(o.Addresses)
			case *resource.HostEndpoint:
				labels, prefixes = w.labelsOf(o.Labels, "", "", o.Profiles), singles(o.Expected)
			case *resource.NetworkSet:
				labels, prefixes = w.labelsOf(resource.NetworkSetLabels(o), o.Namespace, "", nil), o.Nets
			default:
				continue
			}
			for _, p := range prefixes {
				if sel.Matches(labels) {
					found[p.String()] = true
				}
			}
		}
		want[set.Origin] = slices.Sorted(maps.Keys(found))
	}
	return want
}

// members is what they do hold.
func members(s *State) map[string][]string {
	got := make(map[string][]string)
	for _, set := range s.Sets {
		if _, err := selector.Parse(set.Origin); err != nil || set.Kind == Ports {
			continue
		}
		list := []string{}
		for _, m := range set.Members() {
			list = append(list, m.String())
		}
		slices.Sort(list)
		got[set.Origin] = slices.Compact(list)
		if len(got[set.Origin]) == 0 {
			got[set.Origin] = nil
		}
	}
	return got
}

// pipelines is what each workload endpoint of a node is subject to, rendered.
func (w *world) pipelines(node string) map[string]string {
	want := make(map[string]string)
	onInterface := make(map[nodeInterface]int)
	for _, obj := range w.objects {
		if e, ok := obj.(*resource.WorkloadEndpoint); ok {
			onInterface[nodeInterface{e.Node, e.Interface}]++
		}
	}
	for name := range w.routed {
		if onInterface[nodeInterface{node, name}] == 0 {
			id := resource.EndpointID{Endpoint: name}
			want[id.String()+" Ingress"], want[id.String()+" Egress"] = "> Deny", "> Deny"
		}
	}
	for _, obj := range w.objects {
		e, ok := obj.(*resource.WorkloadEndpoint)
		if !ok || node != "" && e.Node != node {
			continue
		}
		for _, d := range []Direction{Ingress, Egress} {
			text := "> Deny"
			if onInterface[nodeInterface{e.Node, e.Interface}] == 1 {
				text = renderPipeline(w.pipeline(e, d, node))
			}
			want[e.Endpoint.String()+" "+d.String()] = text
		}
	}
	return want
}

func (w *world) pipeline(e *resource.WorkloadEndpoint, d Direction, node string) *Pipeline {
	p := &Pipeline{End: Deny}
	labels := w.labelsOf(resource.EndpointLabels(e), e.Namespace, e.ServiceAccount, e.Profiles)
	for _, tier := range w.tiers() {
		list := w.selected(tier, labels, d)
		t := Tier{Name: tier.Name, End: Pass}
		for _, policy := range list {
			t.Policies = append(t.Policies, Ref{ID: policy.ID, Staged: policy.Staged != ""})
			if policy.Staged == "" {
				t.End = tier.DefaultAction
			}
		}
		if len(list) > 0 {
			p.Tiers = append(p.Tiers, t)
		}
	}
	profiles := e.Profiles
	if len(profiles) == 0 {
		profiles = w.defaultProfile(node)
	}
	for _, name := range profiles {
		id := resource.ID{Kind: resource.KindProfile, Name: name}
		if w.objects[id] != nil && !slices.Contains(p.Profiles, id) {
			p.Profiles = append(p.Profiles, id)
		}
	}
	return p
}

func (w *world) defaultProfile(node string) []string {
	for _, name := range []string{"node." + node, "default"} {
		c, ok := w.objects[resource.ID{Kind: resource.KindAgentConfiguration, Name: name}].(*resource.AgentConfiguration)
		if ok && c.Settings.DefaultProfile != nil {
			return []string{*c.Settings.DefaultProfile}
		}
	}
	return nil
}

func (w *world) tiers() []*resource.Tier {
	list := []*resource.Tier{{
		Meta:  resource.Meta{ID: resource.ID{Kind: resource.KindTier, Name: "default"}},
		Order: 1_000_000, DefaultAction: Deny,
	}}
	for _, obj := range w.objects {
		if t, ok := obj.(*resource.Tier); ok {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *resource.Tier) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.Name, b.Name))
	})
	return list
}

// selected returns the policies of a tier that hold for a workload, in order.
func (w *world) selected(tier *resource.Tier, labels map[string]string, d Direction) []*resource.Policy {
	var list []*resource.Policy
	for _, obj := range w.objects {
		p, ok := obj.(*resource.Policy)
		if ok && p.Tier == tier.Name && p.Staged != resource.StagedDelete && !p.DoNotTrack && !p.PreDNAT &&
			p.Decides(d) && p.Selector.Matches(labels) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *resource.Policy) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Namespace, b.Namespace), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	return list
}

// pipelinesOf is what workload endpoints are told to be subject to, rendered.
func pipelinesOf(s *State) map[string]string {
	got := make(map[string]string)
	for id, e := range s.Endpoints {
		got[id.String()+" "+Ingress.String()] = renderPipeline(s.Pipelines[e.Ingress])
		got[id.String()+" "+Egress.String()] = renderPipeline(s.Pipelines[e.Egress])
	}
	return got
}

// renderPipeline renders TIER(POLICY STAGED* > END) ... PROFILE ... > END.
func renderPipeline(p *Pipeline) string {
	if p == nil {
		return "none"
	}
	var parts []string
	for _, tier := range p.Tiers {
		var names []string
		for _, ref := range tier.Policies {
			name := ref.ID.Name
			if ref.ID.Namespace != "" {
				name = ref.ID.Namespace + "/" + name
			}
			if ref.Staged {
				name += "*"
			}
			names = append(names, name)
		}
		parts = append(parts, fmt.Sprintf("%s(%s > %s)", tier.Name, strings.Join(names, " "), tier.End))
	}
	for _, id := range p.Profiles {
		parts = append(parts, id.Name)
	}
	return strings.Join(append(parts, "> "+p.End.String()), " ")
}
