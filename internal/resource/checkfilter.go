package resource

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Bounds of Calico's.
const (
	maxPriority   = math.MaxInt32 - 1 // LOCAL_PREF and priority add up to 2147483647
	maxOperations = 10
	maxPrepend    = 10
	maxGlob       = 15 // as long as the names of interfaces
)

func (p *problems) filter(meta Meta, spec *vrouterv1.BGPFilterSpec) *BGPFilter {
	return &BGPFilter{
		Meta:     meta,
		ImportV4: p.rules("spec.importV4", spec.GetImportV4(), true),
		ImportV6: p.rules("spec.importV6", spec.GetImportV6(), false),
		ExportV4: p.rules("spec.exportV4", spec.GetExportV4(), true),
		ExportV6: p.rules("spec.exportV6", spec.GetExportV6(), false),
	}
}

func (p *problems) rules(path string, raw []*vrouterv1.BGPFilterRule, v4 bool) []FilterRule {
	var rules []FilterRule
	for i, r := range raw {
		rules = append(rules, p.rule(index(path, i), r, v4))
	}
	return rules
}

func (p *problems) rule(at string, raw *vrouterv1.BGPFilterRule, v4 bool) FilterRule {
	r := FilterRule{
		MatchOperator: raw.GetMatchOperator(),
		Interface:     raw.GetInterface(),
		PeerType:      raw.GetPeerType(),
		Priority:      p.routePriority(join(at, "priority"), raw.Priority),
		ASPath:        p.path(join(at, "asPathPrefix"), raw.AsPathPrefix, parseAnyAS),
	}
	switch raw.GetAction() {
	case "Accept":
		r.Accept = true
	case "Reject":
	default:
		p.addf(join(at, "action"), "%q is none of Accept, Reject", raw.GetAction())
	}
	p.prefix(at, raw, v4, &r)
	switch raw.GetSource() {
	case "":
	case "RemotePeers":
		r.RemotePeers = true
	default:
		p.addf(join(at, "source"), "%q is not RemotePeers", raw.GetSource())
	}
	if r.Interface != "" {
		p.err(join(at, "interface"), checkGlob(r.Interface))
	}
	switch r.PeerType {
	case "", "eBGP", "iBGP":
	default:
		p.addf(join(at, "peerType"), "%q is none of eBGP, iBGP", r.PeerType)
	}
	if c := raw.Communities; c != nil {
		r.Communities = p.communityMatch(join(at, "communities.values"), c.Values)
	}
	p.operations(join(at, "operations"), raw, &r)
	return r
}

// prefix checks cidr, matchOperator and prefixLength, which go together.
func (p *problems) prefix(at string, raw *vrouterv1.BGPFilterRule, v4 bool, r *FilterRule) {
	given := raw.GetCidr() != ""
	switch r.MatchOperator {
	case "":
		if given {
			p.addf(join(at, "matchOperator"), "is needed with a cidr")
		}
	case "Equal", "NotEqual", "In", "NotIn":
		if !given {
			p.addf(join(at, "cidr"), "is needed with a matchOperator")
		}
	default:
		p.addf(join(at, "matchOperator"), "%q is none of Equal, NotEqual, In, NotIn", r.MatchOperator)
	}
	if given {
		r.Prefix = p.filterCIDR(join(at, "cidr"), raw.GetCidr(), v4)
	}
	if raw.PrefixLength == nil {
		return
	}
	at = join(at, "prefixLength")
	switch {
	case !given:
		p.addf(at, "goes with a cidr only")
	case r.MatchOperator == "Equal" || r.MatchOperator == "NotEqual":
		p.addf(at, "goes with In and NotIn only: %s compares the length, too", r.MatchOperator)
	}
	most := 32
	if !v4 {
		most = 128
	}
	r.MinLength = p.count(join(at, "min"), raw.PrefixLength.Min, most)
	r.MaxLength = p.count(join(at, "max"), raw.PrefixLength.Max, most)
	least := max(r.Prefix.Bits(), 0)
	if r.MinLength != nil {
		least = max(least, *r.MinLength)
	}
	if r.MaxLength != nil && r.Prefix.IsValid() && *r.MaxLength < least {
		p.addf(join(at, "max"), "%d is less than %d: nothing in %s is so short", *r.MaxLength, least, r.Prefix)
	}
}

// filterCIDR reads a prefix of the family of the rule; an address is that of
// its full length, as in Calico.
func (p *problems) filterCIDR(path, text string, v4 bool) netip.Prefix {
	prefix := p.network(path, text)
	if prefix.IsValid() && prefix.Addr().Is4() != v4 {
		family := "IPv6"
		if v4 {
			family = "IPv4"
		}
		p.addf(path, "%s is not %s", prefix, family)
	}
	return prefix
}

// checkGlob refuses what Calico does not take as a pattern for interfaces.
func checkGlob(s string) error {
	ok := len(s) <= maxGlob
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = lower(c) || upper(c) || digit(c) || strings.IndexByte("_.*-", c) >= 0
	}
	if !ok {
		return fmt.Errorf("%q is not a pattern: 1 to %d letters, digits, '_', '.', '-' and '*'", s, maxGlob)
	}
	return nil
}

func (p *problems) routePriority(path string, n *int32) *int {
	if n == nil {
		return nil
	}
	if *n < 1 || *n > maxPriority {
		p.addf(path, "%d is not between 1 and %d", *n, maxPriority)
	}
	return new(int(*n))
}

// path reads the AS numbers of an AS_PATH.
func (p *problems) path(at string, raw []*structpb.Value, parse func(*structpb.Value) (uint32, error)) []uint32 {
	var numbers []uint32
	for i, v := range raw {
		as, err := parse(v)
		p.err(index(at, i), err)
		numbers = append(numbers, as)
	}
	return numbers
}

// communityMatch reads what a route must carry: one value, as in Calico, which
// has not yet said what several would mean.
func (p *problems) communityMatch(path string, values []string) []CommunityValue {
	if len(values) != 1 {
		p.addf(path, "%d values, exactly one is needed", len(values))
	}
	var list []CommunityValue
	for i, text := range values {
		v, err := parseCommunity(text)
		p.err(index(path, i), err)
		list = append(list, v)
	}
	return list
}

// operations folds what is done to an accepted route, one after the other.
func (p *problems) operations(path string, raw *vrouterv1.BGPFilterRule, r *FilterRule) {
	switch n := len(raw.Operations); {
	case n == 0:
		return
	case raw.GetAction() == "Reject":
		p.addf(path, "go with the action Accept only")
	case n > maxOperations:
		p.addf(path, "%d operations, at most %d are allowed", n, maxOperations)
	}
	for i, o := range raw.Operations {
		p.operation(index(path, i), o, r)
	}
}

func (p *problems) operation(at string, o *vrouterv1.BGPFilterOperation, r *FilterRule) {
	if n := asOne(o.AddCommunity != nil) + asOne(o.PrependAsPath != nil) + asOne(o.SetPriority != nil); n != 1 {
		p.addf(at, "%d of addCommunity, prependASPath, setPriority, exactly one is needed", n)
	}
	if add := o.AddCommunity; add != nil {
		v, err := parseCommunity(add.GetValue())
		p.err(join(at, "addCommunity.value"), err)
		if !slices.Contains(r.AddCommunities, v) {
			r.AddCommunities = append(r.AddCommunities, v)
		}
	}
	if prepend := o.PrependAsPath; prepend != nil {
		path := join(at, "prependASPath.prefix")
		if n := len(prepend.Prefix); n < 1 || n > maxPrepend {
			p.addf(path, "%d AS numbers, 1 to %d are needed", n, maxPrepend)
		}
		// What is prepended later stands before.
		r.Prepend = append(p.path(path, prepend.Prefix, parseAS), r.Prepend...)
	}
	if set := o.SetPriority; set != nil {
		path := join(at, "setPriority.value")
		if set.Value == nil {
			p.err(path, errors.New("is needed"))
		}
		r.SetPriority = p.routePriority(path, set.Value)
	}
}

func asOne(b bool) int {
	if b {
		return 1
	}
	return 0
}
