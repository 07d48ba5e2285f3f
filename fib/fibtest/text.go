package fibtest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/fib"
)

// protocolKernel is RTPROT_KERNEL: what the kernel makes of addresses.
const protocolKernel = 2

// Text prints what k holds in table, one line each: routes by prefix, then
// next-hop groups that no route names, then objects that no group holds. Routes
// that the kernel makes itself are left out, next hops are said in full instead
// of by id, so that the text does not depend on numbers that a kernel chose.
func Text(ctx context.Context, k fib.Kernel, table uint32) (string, error) {
	p := printer{
		links: make(map[int32]string), objects: make(map[uint32]fib.Object), held: make(map[uint32]bool),
	}
	if err := k.Read(ctx, table, &p); err != nil {
		return "", err
	}
	var lines []string
	slices.SortStableFunc(p.entries, func(a, b fib.Entry) int {
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		if c := a.Prefix.Bits() - b.Prefix.Bits(); c != 0 {
			return c
		}
		return int(a.Metric) - int(b.Metric)
	})
	for _, e := range p.entries {
		lines = append(lines, p.entry(e))
	}
	var groups, objects []string
	for _, o := range p.objects {
		switch {
		case p.held[o.ID]:
		case o.IsGroup:
			groups = append(groups, "unused "+p.object(o.ID))
		default:
			objects = append(objects, "unused object "+p.object(o.ID))
		}
	}
	slices.Sort(groups)
	slices.Sort(objects)
	lines = append(append(lines, groups...), objects...)
	return strings.Join(append(lines, ""), "\n"), nil
}

// printer is the observer behind Text.
type printer struct {
	links   map[int32]string
	objects map[uint32]fib.Object
	held    map[uint32]bool // objects in a group, and what routes name
	entries []fib.Entry
}

func (p *printer) ObserveLink(l fib.Link, _ fib.Presence)   { p.links[l.Index] = l.Name }
func (p *printer) ObserveAddress(fib.Address, fib.Presence) {}

func (p *printer) ObserveObject(o fib.Object, _ fib.Presence) {
	o.Group = slices.Clone(o.Group)
	p.objects[o.ID] = o
	for _, m := range o.Group {
		p.held[m.ID] = true
	}
}

func (p *printer) ObserveEntry(e fib.Entry, _ fib.Presence) {
	if e.Protocol == protocolKernel || e.Prefix.Addr().IsLinkLocalUnicast() || e.Prefix.Addr().IsMulticast() {
		return
	}
	p.held[e.Object] = true
	e.Hops = slices.Clone(e.Hops)
	p.entries = append(p.entries, e)
}

func (p *printer) entry(e fib.Entry) string {
	var b strings.Builder
	fmt.Fprint(&b, e.Prefix)
	switch {
	case e.Kind == fib.KindBlackhole:
		b.WriteString(" blackhole")
	case e.Kind == fib.KindOther:
		b.WriteString(" other")
	case e.Object != 0:
		b.WriteString(" " + p.object(e.Object))
	default:
		b.WriteString(" " + p.hops(e.Hops))
	}
	if e.Src.IsValid() {
		fmt.Fprintf(&b, " src %s", e.Src)
	}
	fmt.Fprintf(&b, " proto %d metric %d", e.Protocol, e.Metric)
	return b.String()
}

func (p *printer) object(id uint32) string {
	o, ok := p.objects[id]
	switch {
	case !ok:
		return "missing object"
	case !o.IsGroup:
		return p.hops([]fib.Hop{o.Hop})
	}
	var hops []fib.Hop
	for _, m := range o.Group {
		hop := p.objects[m.ID].Hop
		hop.Weight = m.Weight
		hops = append(hops, hop)
	}
	return "group(" + p.hops(hops) + ")"
}

func (p *printer) hops(hops []fib.Hop) string {
	var out []string
	for _, h := range hops {
		s := "dev " + p.links[h.Index]
		if h.Gateway != (netip.Addr{}) {
			s = "via " + h.Gateway.String() + " " + s
		}
		if h.Onlink {
			s += " onlink"
		}
		if h.Weight > 0 {
			s += fmt.Sprintf(" weight %d", int(h.Weight)+1)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, " + ")
}
