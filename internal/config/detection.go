package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Detection is how the host's own address of a family is found where the file
// states none. The zero value finds none.
type Detection struct {
	Method      DetectionMethod
	Given       bool             // the file chose it: what is found counts as stated there
	Destination string           // of CanReach: an address of the family, or a name
	Interfaces  []*regexp.Regexp // of OnInterface and SkipInterface; any part of a name may match
	CIDRs       []netip.Prefix   // of InCIDR, of the family
}

// DetectionMethod is a method's name, which are Calico's.
type DetectionMethod string

// The methods.
const (
	NoDetection   DetectionMethod = ""
	FirstFound    DetectionMethod = "first-found"
	CanReach      DetectionMethod = "can-reach"
	OnInterface   DetectionMethod = "interface"
	SkipInterface DetectionMethod = "skip-interface"
	InCIDR        DetectionMethod = "cidr"
)

// noAddress is what the file says for a family without an address.
const noAddress = "none"

// parseDetection reads METHOD or METHOD=ARGUMENT. It reports false for what is
// no method by its form, such as an address.
func parseDetection(s string, v4 bool) (Detection, bool, error) {
	name, argument, given := strings.Cut(s, "=")
	d := Detection{Method: DetectionMethod(name), Given: true}
	var err error
	switch {
	case s == noAddress:
		return Detection{}, true, nil
	case s == string(FirstFound):
	case !given && slices.Contains([]DetectionMethod{CanReach, OnInterface, SkipInterface, InCIDR}, d.Method):
		err = fmt.Errorf("%s= needs what follows it", name)
	case s == "kubernetes-internal-ip":
		err = errors.New("kubernetes-internal-ip is not built: name the network by cidr=, or set the address in the Node")
	case !given && word.MatchString(s):
		err = fmt.Errorf("%q is not an IP address, and none of %s", s, methods)
	case !given:
		return Detection{}, false, nil
	case d.Method == CanReach:
		d.Destination, err = argument, checkDestination(argument, v4)
	case d.Method == OnInterface, d.Method == SkipInterface:
		d.Interfaces, err = parseEach(argument, regexp.Compile)
	case d.Method == InCIDR:
		d.CIDRs, err = parseEach(argument, func(s string) (netip.Prefix, error) { return parseCIDR(s, v4) })
	default:
		err = fmt.Errorf("%q is none of %s", s, methods)
	}
	if err != nil {
		return Detection{}, true, err
	}
	return d, true, nil
}

// word is what looks like a method and like no address.
var word = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

const methods = "first-found, can-reach=, interface=, skip-interface=, cidr=, none"

// parseEach reads a list with commas in between, and spaces about them.
func parseEach[T any](list string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for _, part := range splitList(list) {
		part = strings.TrimSpace(part)
		if part == "" {
			return nil, fmt.Errorf("%q has an empty part", list)
		}
		one, err := parse(part)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// splitList cuts a list at its commas, but for those that belong to an
// expression: escaped, or inside brackets, such as that of [0-9]{1,2}.
func splitList(list string) []string {
	var all []string
	var open []byte // brackets that are not closed yet
	begin := 0
	for i := 0; i < len(list); i++ {
		c := list[i]
		class := len(open) > 0 && open[len(open)-1] == ']' // where only its end means anything
		switch {
		case c == '\\':
			i++
		case len(open) > 0 && c == open[len(open)-1]:
			open = open[:len(open)-1]
		case class:
		case c == '[':
			open = append(open, ']')
			rest := strings.TrimPrefix(list[i+1:], "^")
			if i = len(list) - len(rest) - 1; strings.HasPrefix(rest, "]") {
				i++ // the first one stands for itself
			}
		case c == '(':
			open = append(open, ')')
		case c == '{':
			open = append(open, '}')
		case c == ',' && len(open) == 0:
			all = append(all, list[begin:i])
			begin = i + 1
		}
	}
	return append(all, list[begin:])
}

func parseCIDR(s string, v4 bool) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return p, fmt.Errorf("%q is not a prefix such as 192.0.2.0/24", s)
	case p.Addr().Is4() != v4:
		return p, fmt.Errorf("%s is not of %s", p, familyName(v4))
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits beyond its length: is it %s?", p, p.Masked())
	}
	return p, nil
}

// hostName is a name that a resolver may know (RFC 1123, section 2.1): its last
// part is no number, which tells it from a bad address.
var hostName = regexp.MustCompile(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*` +
	`[a-zA-Z_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.?$`)

func checkDestination(s string, v4 bool) error {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil && (len(s) > 253 || !hostName.MatchString(s)):
		return fmt.Errorf("%q is neither an address nor a name", s)
	case err != nil:
		return nil
	case a.Is4() != v4 || a.Is4In6():
		return fmt.Errorf("%s is not of %s", a, familyName(v4))
	case !a.IsGlobalUnicast() || a.Zone() != "":
		return fmt.Errorf("%s is no destination beyond this host's links", a)
	}
	return nil
}

func familyName(v4 bool) string {
	if v4 {
		return "IPv4"
	}
	return "IPv6"
}
