package nftables

import (
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/policy"
)

// hostPipeline makes a pipeline of one policy for a host endpoint.
func hostPipeline(u *policy.Update, id string, d policy.Direction, end policy.Action, list ...policy.Rule) {
	p := &policy.Policy{ID: policyID("p" + id)}
	for n := range list {
		list[n].Index = n
	}
	if d == policy.Ingress {
		p.Ingress = list
	} else {
		p.Egress = list
	}
	u.Policies[p.ID] = p
	u.Pipelines[id] = &policy.Pipeline{
		ID: id, Direction: d, End: end,
		Tiers: []policy.Tier{{Name: "default", Policies: []policy.Ref{{ID: p.ID}}, End: policy.Pass}},
	}
}

// hostEndpoint has an endpoint of the host that lets nothing in or out but
// what change says.
func hostEndpoint(iface string, change func(*policy.Update, *policy.HostEndpoint)) func(*policy.Update) {
	return func(u *policy.Update) {
		u.Pipelines["none-in"] = &policy.Pipeline{ID: "none-in", Direction: policy.Ingress, End: policy.Deny}
		u.Pipelines["none-out"] = &policy.Pipeline{ID: "none-out", Direction: policy.Egress, End: policy.Deny}
		h := &policy.HostEndpoint{Interface: iface, Normal: policy.Pair{Ingress: "none-in", Egress: "none-out"}}
		if change != nil {
			change(u, h)
		}
		if u.HostEndpoints == nil {
			u.HostEndpoints = map[string]*policy.HostEndpoint{}
		}
		u.HostEndpoints[iface] = h
	}
}

// openWorkloads lets everything into workloads and from them to the host.
func openWorkloads(u *policy.Update) {
	rules(policy.Rule{Action: policy.Allow})(u)
	u.Settings.ToHost = policy.Pass
}

func TestHostEndpoints(t *testing.T) {
	s := newSite(t, 2)
	for _, name := range []string{"host", "out", "w1", "w2"} {
		s.serve(t, name, 22, 80, 81)
	}
	all := policy.Rule{Action: policy.Allow}
	tcp80 := policy.Rule{Action: policy.Allow, Protocol: 6, Destination: policy.Side{Ports: []policy.PortRange{port(80)}}}
	failsafe := func(u *policy.Update) {
		u.Settings.FailsafeInbound = []policy.Failsafe{{Protocol: 6, Port: 22}}
		u.Settings.FailsafeOutbound = []policy.Failsafe{{Protocol: 6, Port: 81, Net: netip.MustParsePrefix("192.0.2.0/24")}}
	}
	normal := func(u *policy.Update, h *policy.HostEndpoint) {
		hostPipeline(u, "in80", policy.Ingress, policy.Deny, tcp80)
		hostPipeline(u, "out80", policy.Egress, policy.Deny, tcp80)
		h.Normal = policy.Pair{Ingress: "in80", Egress: "out80"}
	}
	forward := func(u *policy.Update, h *policy.HostEndpoint) {
		normal(u, h)
		h.Forward = policy.Pair{Ingress: "in80", Egress: "out80"}
	}
	runCases(t, s, []verdictCase{
		{"no policy is denied, failsafes pass", with(openWorkloads, failsafe, hostEndpoint("uplink", nil)), []probe{
			"out !> host tcp 80", "out > host tcp 22", "host !> out tcp 80", "host > out tcp 81 4", "host !> out tcp 81 6",
			"w1 > host tcp 80", "host > w1 tcp 80", "w1 > out tcp 80", "out > w1 tcp 80", "host > host tcp 80",
		}},
		{"normal policy", with(openWorkloads, hostEndpoint("uplink", normal)), []probe{
			"out > host tcp 80", "out !> host tcp 81", "host > out tcp 80", "host !> out tcp 81", "w1 > out tcp 81",
		}},
		{"all interfaces", with(openWorkloads, hostEndpoint("*", normal)), []probe{
			"out > host tcp 80", "out !> host tcp 81", "host !> out tcp 81", "w1 > host tcp 81", "host > w1 tcp 81",
			"w1 > w2 tcp 81", "host > host tcp 81",
		}},
		{"all interfaces, but one has its own", with(openWorkloads, hostEndpoint("*", forward), hostEndpoint("uplink",
			func(u *policy.Update, h *policy.HostEndpoint) {
				hostPipeline(u, "inall", policy.Ingress, policy.Deny, all)
				h.Normal.Ingress = "inall"
			})), []probe{
			"out > host tcp 81", "host !> out tcp 80", "out > w1 tcp 80", "out !> w1 tcp 81",
		}},
		{"forward on one interface", with(openWorkloads, hostEndpoint("uplink", forward)), []probe{
			"out > w1 tcp 80", "out !> w1 tcp 81", "w1 > out tcp 80", "w1 !> out tcp 81", "w1 > w2 tcp 81",
		}},
		{"forward on all interfaces covers workloads", with(openWorkloads, hostEndpoint("*", forward)), []probe{
			"w1 > w2 tcp 80", "w1 !> w2 tcp 81", "out !> w1 tcp 81",
		}},
		{"forward policy and the workload's both hold", hostEndpoint("uplink", forward), []probe{
			"out !> w1 tcp 80", "w1 > out tcp 80", "w1 !> out tcp 81",
		}},
		{"failsafes do not pass what is forwarded", with(openWorkloads, failsafe, hostEndpoint("uplink", forward)), []probe{
			"out !> w1 tcp 22", "w1 !> out tcp 81",
		}},
	})
}

func TestEarlyPolicy(t *testing.T) {
	s := newSite(t, 2)
	for _, name := range []string{"host", "out", "w1"} {
		s.serve(t, name, 22, 80, 81)
	}
	ports := func(action policy.Action, protocol uint8, source bool, n ...uint16) policy.Rule {
		r := policy.Rule{Action: action, Protocol: protocol}
		for _, p := range n {
			if source {
				r.Source.Ports = append(r.Source.Ports, port(p))
			} else {
				r.Destination.Ports = append(r.Destination.Ports, port(p))
			}
		}
		return r
	}
	failsafe := func(u *policy.Update) {
		u.Settings.FailsafeInbound = []policy.Failsafe{{Protocol: 6, Port: 22}}
		u.Settings.FailsafeOutbound = []policy.Failsafe{{Protocol: 6, Port: 81}}
	}
	untracked := func(in, out []policy.Rule) func(*policy.Update, *policy.HostEndpoint) {
		return func(u *policy.Update, h *policy.HostEndpoint) {
			hostPipeline(u, "uin", policy.Ingress, policy.Pass, in...)
			hostPipeline(u, "uout", policy.Egress, policy.Pass, out...)
			h.Untracked = policy.Pair{Ingress: "uin", Egress: "uout"}
		}
	}
	preDNAT := func(list ...policy.Rule) func(*policy.Update, *policy.HostEndpoint) {
		return func(u *policy.Update, h *policy.HostEndpoint) {
			hostPipeline(u, "dnat", policy.Ingress, policy.Pass, list...)
			h.PreDNAT = "dnat"
		}
	}
	runCases(t, s, []verdictCase{
		{"untracked both ways", with(openWorkloads, hostEndpoint("uplink", untracked(
			[]policy.Rule{ports(policy.Allow, 6, false, 80)}, []policy.Rule{ports(policy.Allow, 6, true, 80)}))),
			[]probe{"out > host tcp 80", "out !> host tcp 81", "w1 > out tcp 80"}},
		{"untracked in, answers meet normal policy", hostEndpoint("uplink", untracked(
			[]policy.Rule{ports(policy.Allow, 17, false, 80)}, nil)),
			[]probe{"out !> host udp 80"}},
		{"untracked deny", with(openWorkloads, failsafe, hostEndpoint("uplink", untracked(
			[]policy.Rule{{Action: policy.Deny}}, nil))),
			[]probe{"out !> w1 tcp 80", "out > host tcp 22", "host > out tcp 81", "w1 > host tcp 80"}},
		{"rejected before connections and translation", with(openWorkloads, func(u *policy.Update) { u.Settings.Reject = true },
			hostEndpoint("uplink", func(u *policy.Update, h *policy.HostEndpoint) {
				untracked([]policy.Rule{ports(policy.Deny, 6, false, 80)}, []policy.Rule{ports(policy.Deny, 17, false, 80)})(u, h)
				preDNAT(ports(policy.Deny, 6, false, 81), policy.Rule{Action: policy.Allow})(u, h)
			})),
			[]probe{"out !> w1 tcp 80", "out !> w1 tcp 81", "out > w1 tcp 22", "host !> out udp 80"}},
		{"untracked lets in what forward denies", with(openWorkloads, hostEndpoint("uplink",
			func(u *policy.Update, h *policy.HostEndpoint) {
				untracked([]policy.Rule{ports(policy.Allow, 17, false, 80)}, nil)(u, h)
				h.Forward.Ingress = "none-in"
			})),
			[]probe{"out > w1 udp 80", "out !> w1 udp 81"}},
		{"preDNAT lets in what normal policy denies", with(openWorkloads, hostEndpoint("uplink",
			preDNAT(ports(policy.Allow, 6, false, 80)))),
			[]probe{"out > host tcp 80", "out !> host tcp 81", "out > w1 tcp 81"}},
		{"preDNAT denies what is forwarded", with(openWorkloads, failsafe, hostEndpoint("uplink",
			preDNAT(ports(policy.Deny, 6, false, 80, 22)))),
			[]probe{"out !> w1 tcp 80", "out > w1 tcp 81", "out > host tcp 22"}},
		{"preDNAT of all interfaces covers workloads", with(openWorkloads, hostEndpoint("*",
			preDNAT(ports(policy.Deny, 6, false, 80)))),
			[]probe{"w1 !> w2 tcp 80", "w1 !> out tcp 80", "w1 > out tcp 81"}},
		{"an interface of its own is not covered", with(openWorkloads,
			hostEndpoint("*", preDNAT(ports(policy.Allow, 6, false, 80))), hostEndpoint("uplink", nil)),
			[]probe{"out !> host tcp 80", "out > w1 tcp 80"}},
		{"untracked, then preDNAT", with(openWorkloads, hostEndpoint("uplink",
			func(u *policy.Update, h *policy.HostEndpoint) {
				untracked([]policy.Rule{ports(policy.Allow, 6, false, 80)}, []policy.Rule{ports(policy.Allow, 6, true, 80)})(u, h)
				preDNAT(ports(policy.Allow, 6, false, 22), policy.Rule{Action: policy.Deny})(u, h)
			})),
			[]probe{"out > host tcp 80", "out > host tcp 22", "out !> host tcp 81"}},
	})
}
