package policybench

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/policy"
)

// cluster is policies, the endpoints of this host, each selected by ten
// policies or a few more, and the endpoints of others that are what the rules
// let in. Each policy asks a set of its own.
type cluster struct {
	policies, endpoints int
	rules               int  // of a policy, in a direction
	egress              bool // policies decide egress as they do ingress
	members             int  // of the large set, which the first rule of all asks
}

const (
	node       = "here"
	setMembers = 10 // of the set of each policy
	perGroup   = 10 // policies that select an endpoint, as long as there are endpoints enough
	changedOne = 5  // the policy whose rule is changed
	// changedPort is that of a rule of the policy that is changed, and of no other.
	changedPort = 9999
)

// groups is how many groups of endpoints there are: those that are selected by
// the same policies.
func (c *cluster) groups() int { return max(1, min(c.policies/perGroup, c.endpoints)) }

func parse(format string, args ...any) (*selector.Selector, error) {
	return selector.Parse(fmt.Sprintf(format, args...))
}

// fill tells a resolver everything.
func (c *cluster) fill(r *policy.Resolver) error {
	for i := range c.policies {
		p, err := c.policy(i, 0)
		if err != nil {
			return err
		}
		r.Put(p)
		for n := range setMembers {
			r.Put(c.member(fmt.Sprint("set", i), i*setMembers+n))
		}
	}
	for i := range c.members {
		r.Put(c.member("large", 1<<22+i))
	}
	for i := range c.endpoints {
		r.Put(c.endpoint(i))
	}
	return nil
}

// update is everything, resolved.
func (c *cluster) update() (*policy.Update, error) {
	r := policy.NewResolver(node)
	if err := c.fill(r); err != nil {
		return nil, err
	}
	return r.All(), nil
}

// policy makes one whose rules let the members of a set of its own reach a port
// each, and the last one of a group let the endpoints of this host reach
// everything. A version moves a port of a rule in the middle.
func (c *cluster) policy(i, version int) (*resource.Policy, error) {
	group := i % c.groups()
	selects, err := parse("group == 'group%d'", group)
	if err != nil {
		return nil, err
	}
	p := &resource.Policy{
		Meta: resource.Meta{ID: resource.ID{Kind: resource.KindGlobalNetworkPolicy, Name: fmt.Sprintf("policy-%05d", i)}},
		Tier: resource.DefaultTier, Order: float64(i), Selector: selects, IngressType: true, EgressType: c.egress,
	}
	set := fmt.Sprint("set", i)
	for n := range c.rules {
		if n == 0 && i == 0 && c.members > 0 {
			set = "large"
		}
		from, err := parse("set == '%s'", set)
		if err != nil {
			return nil, err
		}
		set = fmt.Sprint("set", i)
		port := uint16(10_000 + n)
		switch {
		case i == changedOne && n == 0:
			port = changedPort
		case n == c.rules/2:
			port += uint16(1000 * version)
		}
		other, ports := resource.Entity{Selector: from}, []resource.Port{{First: port, Last: port}}
		ingress := resource.Rule{Action: resource.ActionAllow, Protocol: 6, Source: other}
		egress := resource.Rule{Action: resource.ActionAllow, Protocol: 6, Destination: other}
		ingress.Destination.Ports, egress.Destination.Ports = ports, ports
		if n == c.rules-1 && i+c.groups() >= c.policies {
			if other.Selector, err = parse("has(group)"); err != nil {
				return nil, err
			}
			ingress = resource.Rule{Action: resource.ActionAllow, Source: other}
			egress = resource.Rule{Action: resource.ActionAllow, Destination: other}
		}
		p.Ingress = append(p.Ingress, ingress)
		if c.egress {
			p.Egress = append(p.Egress, egress)
		}
	}
	return p, nil
}

// member makes an endpoint of another host that is in a set.
func (c *cluster) member(set string, n int) *resource.WorkloadEndpoint {
	w := workload(fmt.Sprint("remote", n), "elsewhere", fmt.Sprint("cali", n))
	w.Labels = map[string]string{"set": set}
	w.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)})}
	return w
}

// endpoint makes one of this host. Their interfaces have sixteen prefixes.
func (c *cluster) endpoint(i int) *resource.WorkloadEndpoint {
	w := workload(fmt.Sprint("local", i), node, fmt.Sprintf("cali%x%03d", i%16, i))
	w.Labels = map[string]string{"group": fmt.Sprint("group", i%c.groups())}
	w.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 65, byte(i >> 8), byte(i)})}
	return w
}

func workload(name, node, iface string) *resource.WorkloadEndpoint {
	return &resource.WorkloadEndpoint{
		Meta: resource.Meta{
			ID:       resource.ID{Kind: resource.KindWorkloadEndpoint, Namespace: "bench", Name: name},
			Revision: math.MaxInt32,
		},
		Endpoint: resource.EndpointID{Namespace: "bench", Orchestrator: "k8s", Workload: name, Endpoint: "eth0"},
		Node:     node, Interface: iface, Profiles: []string{resource.DefaultAllow},
	}
}
