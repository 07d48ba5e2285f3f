package bgp

import (
	"reflect"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// FilterCache keeps filters that were made of BGPFilters, by name. One that
// says what it said before stays the same object, also when its BGPFilter was
// written again: policies compare filters by address, and a new address has
// routes judged again. The zero value is empty. It has one
// user at a time.
type FilterCache struct {
	compiled map[string]compiled
	missing  map[string]*Filter // stand-ins for what is not there
}

type compiled struct {
	from   *resource.BGPFilter
	filter *Filter
}

// compile takes the place of what was there before by what now is.
func (c *FilterCache) compile(filters []*resource.BGPFilter) {
	now := make(map[string]compiled, len(filters))
	for _, from := range filters {
		one := compiled{from, nil}
		old, had := c.compiled[from.Name]
		if had && old.from == from {
			now[from.Name] = old
			continue
		}
		one.filter = compileFilter(from)
		if had && reflect.DeepEqual(old.filter, one.filter) {
			one.filter = old.filter
		}
		now[from.Name] = one
	}
	c.compiled = now
}

// get is the filter of that name; false: it is not there, and what is returned
// in its place rejects everything.
func (c *FilterCache) get(name string) (*Filter, bool) {
	if one, ok := c.compiled[name]; ok {
		return one.filter, true
	}
	f := c.missing[name]
	if f == nil {
		f = rejectAll(name)
		if c.missing == nil {
			c.missing = make(map[string]*Filter)
		}
		c.missing[name] = f
	}
	return f, false
}

func rejectAll(name string) *Filter {
	var rules []*FilterRule
	for _, f := range families {
		rules = append(rules, &FilterRule{Family: f, Reject: true})
	}
	return &Filter{Name: name, Import: rules, Export: rules}
}

func compileFilter(from *resource.BGPFilter) *Filter {
	return &Filter{
		Name:   from.Name,
		Import: append(compileRules(IPv4Unicast, from.ImportV4), compileRules(IPv6Unicast, from.ImportV6)...),
		Export: append(compileRules(IPv4Unicast, from.ExportV4), compileRules(IPv6Unicast, from.ExportV6)...),
	}
}

func compileRules(f Family, from []resource.FilterRule) []*FilterRule {
	var rules []*FilterRule
	for i := range from {
		rules = append(rules, compileRule(f, &from[i]))
	}
	return rules
}

func compileRule(f Family, from *resource.FilterRule) *FilterRule {
	r := &FilterRule{
		Family: f, RemotePeers: from.RemotePeers, Interface: from.Interface, ASPath: from.ASPath,
		Reject: !from.Accept,
	}
	if from.Prefix.IsValid() {
		// A prefix is compared as the network that it is, and without a range of
		// lengths holds all that are at least as long as itself.
		r.Prefix, r.Match = from.Prefix.Masked(), matchOf(from.MatchOperator)
		r.MinLength, r.MaxLength = uint8(from.Prefix.Bits()), uint8(from.Prefix.Addr().BitLen())
		if from.MinLength != nil {
			r.MinLength = uint8(*from.MinLength)
		}
		if from.MaxLength != nil {
			r.MaxLength = uint8(*from.MaxLength)
		}
	}
	switch from.PeerType {
	case "eBGP":
		r.PeerType = ExternalPeer
	case "iBGP":
		r.PeerType = InternalPeer
	}
	r.Communities, r.Large = communitiesOf(from.Communities)
	if from.Priority != nil {
		r.Priority, r.HasPriority = uint32(*from.Priority), true
	}
	if from.Accept {
		r.Change = compileOperations(from)
	}
	return r
}

// compileOperations is what an accepting rule does; nil: nothing.
func compileOperations(from *resource.FilterRule) *Operations {
	if len(from.AddCommunities) == 0 && len(from.Prepend) == 0 && from.SetPriority == nil {
		return nil
	}
	o := &Operations{Prepend: from.Prepend}
	o.AddCommunities, o.AddLarge = communitiesOf(from.AddCommunities)
	if from.SetPriority != nil {
		o.Priority, o.HasPriority = uint32(*from.SetPriority), true
	}
	return o
}

func communitiesOf(values []resource.CommunityValue) (standard []Community, large []LargeCommunity) {
	for _, v := range values {
		if v.Large {
			large = append(large, LargeCommunity{v.Value[0], v.Value[1], v.Value[2]})
			continue
		}
		standard = append(standard, Community(v.Value[0]))
	}
	return standard, large
}

func matchOf(operator string) PrefixMatch {
	switch operator {
	case "NotEqual":
		return NotEqual
	case "In":
		return In
	case "NotIn":
		return NotIn
	}
	return Equal
}
