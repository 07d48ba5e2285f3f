package policybench

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// calicoLike is an update as Calico would have it in iptables, as far as the
// cluster needs it: members in ipsets; a tree of interface prefixes that leads
// to a chain for each endpoint and direction; in it established first, then
// policies, whose verdicts are bits of the mark.
type calicoLike struct {
	update *policy.Update
	sets   map[policy.SetID]string
	chains map[resource.ID]string // ends of the names of policies' chains
	out    strings.Builder
	// comments has every rule carry one, as Calico's do so that it knows them
	// again: the kernel calls that match for every packet, too.
	comments bool
}

func newCalicoLike(u *policy.Update) *calicoLike {
	c := &calicoLike{update: u, sets: make(map[policy.SetID]string), chains: make(map[resource.ID]string)}
	for n, id := range slices.Sorted(maps.Keys(u.Sets)) {
		c.sets[id] = fmt.Sprintf("cali40s:%d", n)
	}
	for n, id := range slices.SortedFunc(maps.Keys(u.Policies), byName) {
		c.chains[id] = fmt.Sprint(n)
	}
	return c
}

func byName(a, b resource.ID) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// ipsets is the input of ipset restore.
func (c *calicoLike) ipsets() string {
	var b strings.Builder
	for id, change := range c.update.Sets {
		fmt.Fprintf(&b, "create %s hash:net maxelem 1048576\n", c.sets[id])
		for _, m := range change.Add {
			if m.Prefix.Addr().Is4() {
				fmt.Fprintf(&b, "add %s %s\n", c.sets[id], m.Prefix)
			}
		}
	}
	return b.String()
}

// Bits of the mark, Calico's own.
const (
	bitAccept   = "0x10000"
	bitPass     = "0x20000"
	bitWorkload = "0x40000"
)

// early is what comes before the decision about forwarding: the source check,
// and a way around for what is established.
const early = `*raw
:cali-PREROUTING - [0:0]
-A PREROUTING -j cali-PREROUTING
-A cali-PREROUTING -j MARK --set-xmark 0x0/0xf0000
-A cali-PREROUTING -i cali+ -j MARK --set-xmark ` + bitWorkload + `/` + bitWorkload + `
-A cali-PREROUTING -m mark --mark ` + bitWorkload + `/` + bitWorkload + ` -m rpfilter --validmark --invert -j DROP
-A cali-PREROUTING -m mark --mark ` + bitAccept + `/` + bitAccept + ` -j ACCEPT
COMMIT
*mangle
:cali-PREROUTING - [0:0]
-A PREROUTING -j cali-PREROUTING
-A cali-PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-PREROUTING -m mark --mark ` + bitAccept + `/` + bitAccept + ` -j ACCEPT
COMMIT
`

// rules is the input of iptables-restore.
func (c *calicoLike) rules() (string, error) {
	for line := range strings.Lines(early) {
		if rule, is := strings.CutPrefix(line, "-A "); is {
			c.line("%s", strings.TrimSpace(rule))
		} else {
			c.out.WriteString(line)
		}
	}
	c.out.WriteString("*filter\n")
	for _, name := range []string{"cali-FORWARD", "cali-from-hep-forward", "cali-to-hep-forward", "cali-cidr-block"} {
		c.chain(name)
	}
	c.line("FORWARD -j cali-FORWARD")
	c.line("FORWARD -m mark --mark %[1]s/%[1]s -j ACCEPT", bitAccept)
	c.line("cali-FORWARD -j MARK --set-xmark 0x0/0xe0000")
	c.line("cali-FORWARD -m mark --mark 0x0/%s -j cali-from-hep-forward", bitAccept)
	for _, id := range slices.SortedFunc(maps.Keys(c.update.Policies), byName) {
		if err := c.policy(c.update.Policies[id]); err != nil {
			return "", err
		}
	}
	endpoints := slices.SortedFunc(maps.Values(c.update.Endpoints), func(a, b *policy.Endpoint) int {
		return cmp.Compare(a.Interface, b.Interface)
	})
	for _, e := range endpoints {
		c.endpoint("cali-fw-"+e.Interface, c.update.Pipelines[e.Egress])
		c.endpoint("cali-tw-"+e.Interface, c.update.Pipelines[e.Ingress])
	}
	c.dispatch("cali-from-wl-dispatch", "-i", "cali-fw-", endpoints)
	c.dispatch("cali-to-wl-dispatch", "-o", "cali-tw-", endpoints)
	c.line("cali-FORWARD -i cali+ -j cali-from-wl-dispatch")
	c.line("cali-FORWARD -o cali+ -j cali-to-wl-dispatch")
	c.line("cali-FORWARD -j cali-to-hep-forward")
	c.line("cali-FORWARD -j cali-cidr-block")
	c.out.WriteString("COMMIT\n")
	return c.out.String(), nil
}

func (c *calicoLike) chain(name string) { fmt.Fprintf(&c.out, ":%s - [0:0]\n", name) }

func (c *calicoLike) line(format string, args ...any) {
	rule := fmt.Sprintf("-A "+format, args...)
	if c.comments {
		chain, rest, _ := strings.Cut(strings.TrimPrefix(rule, "-A "), " ")
		rule = fmt.Sprintf("-A %s -m comment --comment \"cali:%08d-------\" %s", chain, c.out.Len(), rest)
	}
	c.out.WriteString(rule + "\n")
}

// dispatch leads from the prefixes of interfaces to the endpoints with each.
func (c *calicoLike) dispatch(name, flag, to string, endpoints []*policy.Endpoint) {
	c.chain(name)
	const prefix = len("cali") + 1
	for i := 0; i < len(endpoints); {
		first := endpoints[i].Interface[:prefix]
		below := name + "-" + first[prefix-1:]
		c.chain(below)
		c.line("%s %s %s+ -g %s", name, flag, first, below)
		for ; i < len(endpoints) && strings.HasPrefix(endpoints[i].Interface, first); i++ {
			c.line("%s %s %s -g %s%s", below, flag, endpoints[i].Interface, to, endpoints[i].Interface)
		}
		c.line("%s -j DROP", below)
	}
	c.line("%s -j DROP", name)
}

// endpoint is one direction of an endpoint.
func (c *calicoLike) endpoint(name string, p *policy.Pipeline) {
	c.chain(name)
	c.line("%s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", name)
	c.line("%s -m conntrack --ctstate INVALID -j DROP", name)
	c.line("%s -j MARK --set-xmark 0x0/%s", name, bitAccept)
	if p.Direction == policy.Egress {
		c.line("%s -p udp -m multiport --dports 4789 -j DROP", name)
		c.line("%s -p 4 -j DROP", name)
	}
	for _, tier := range p.Tiers {
		c.line("%s -j MARK --set-xmark 0x0/%s", name, bitPass)
		for _, ref := range tier.Policies {
			c.line("%s -m mark --mark 0x0/%s -j %s", name, bitPass, c.policyChain(ref.ID, p.Direction))
			c.line("%s -m mark --mark %[2]s/%[2]s -j RETURN", name, bitAccept)
		}
		if tier.End == policy.Deny {
			c.line("%s -m mark --mark 0x0/%s -j DROP", name, bitPass)
		}
	}
	for _, id := range p.Profiles {
		c.line("%s -j %s", name, c.policyChain(id, p.Direction))
		c.line("%s -m mark --mark %[2]s/%[2]s -j RETURN", name, bitAccept)
	}
	c.line("%s -j DROP", name)
}

func (c *calicoLike) policyChain(id resource.ID, d policy.Direction) string {
	if d == policy.Ingress {
		return "cali-pi-" + c.chains[id]
	}
	return "cali-po-" + c.chains[id]
}

func (c *calicoLike) policy(p *policy.Policy) error {
	for _, d := range []policy.Direction{policy.Ingress, policy.Egress} {
		name := c.policyChain(p.ID, d)
		c.chain(name)
		for _, r := range p.Rules(d) {
			if r.Action != policy.Allow {
				return fmt.Errorf("%s of %s: action %s has no form here", r.Action, p.ID.Name, r.Action)
			}
			c.line("%s%s -j MARK --set-xmark %[3]s/%[3]s", name, c.match(&r), bitAccept)
			c.line("%s -m mark --mark %[2]s/%[2]s -j RETURN", name, bitAccept)
		}
	}
	return nil
}

// match knows protocols, sets and ports of destinations.
func (c *calicoLike) match(r *policy.Rule) string {
	var b strings.Builder
	if r.Protocol != 0 {
		fmt.Fprintf(&b, " -p %d", r.Protocol)
	}
	for _, id := range r.Source.Sets {
		fmt.Fprintf(&b, " -m set --match-set %s src", c.sets[id])
	}
	for _, id := range r.Destination.Sets {
		fmt.Fprintf(&b, " -m set --match-set %s dst", c.sets[id])
	}
	for n, ports := range r.Destination.Ports {
		separator := ","
		if n == 0 {
			separator = " -m multiport --dports "
		}
		b.WriteString(separator + ports.String())
	}
	return b.String()
}
