package resource

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// AS numbers that no speaker may have, beside 0 (RFC 7607).
const (
	asTrans  = 23456      // RFC 6793 §9: stands for a four-octet AS towards old speakers
	asLast16 = 65535      // RFC 7300
	asLast32 = 4294967295 // RFC 7300
)

// parseAS reads an AS number: a whole number, or text in plain or dotted
// notation (RFC 5396 asplain, asdot+).
func parseAS(v *structpb.Value) (uint32, error) {
	as, err := parseAnyAS(v)
	if err != nil {
		return 0, err
	}
	return usableAS(uint64(as))
}

// parseAnyAS reads an AS number that may also be one of those that no speaker
// has, but that stand in an AS_PATH.
func parseAnyAS(v *structpb.Value) (uint32, error) {
	var as uint64
	var err error
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		as, err = wholeNumber(k.NumberValue, math.MaxUint32)
		if err != nil && k.NumberValue != math.Trunc(k.NumberValue) && !math.IsNaN(k.NumberValue) {
			err = fmt.Errorf("%w; dotted notation must be in quotes", err)
		}
	case *structpb.Value_StringValue:
		as, err = parseASText(k.StringValue)
	default:
		return 0, errors.New("must be a number or a text")
	}
	return uint32(as), err
}

// usableAS refuses numbers that no speaker may have.
func usableAS(as uint64) (uint32, error) {
	switch as {
	case 0:
		return 0, errors.New("0 is not an AS number (RFC 7607)")
	case asTrans:
		return 0, errors.New("23456 is reserved as AS_TRANS (RFC 6793)")
	case asLast16, asLast32:
		return 0, fmt.Errorf("%d is reserved (RFC 7300)", as)
	}
	return uint32(as), nil
}

func parseASText(s string) (uint64, error) {
	high, low, dotted := strings.Cut(s, ".")
	if !dotted {
		as, err := parseDecimal(s, math.MaxUint32)
		if err != nil {
			return 0, fmt.Errorf("%q is not an AS number: %w", s, err)
		}
		return as, nil
	}
	h, err := parseDecimal(high, math.MaxUint16)
	if err == nil {
		var l uint64
		if l, err = parseDecimal(low, math.MaxUint16); err == nil {
			return h<<16 | l, nil
		}
	}
	return 0, fmt.Errorf("%q is not an AS number in dotted notation: %w", s, err)
}

// wholeNumber refuses what a JSON number can be but a count cannot.
func wholeNumber(f float64, most uint64) (uint64, error) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return 0, errors.New("not a number")
	case f != math.Trunc(f):
		return 0, fmt.Errorf("%s is not a whole number", strconv.FormatFloat(f, 'g', -1, 64))
	case f < 0 || f > float64(most):
		return 0, fmt.Errorf("%s is not between 0 and %d", strconv.FormatFloat(f, 'f', -1, 64), most)
	}
	return uint64(f), nil
}

// parseDecimal reads digits without sign, blanks or leading zeros.
func parseDecimal(s string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n > most:
		return 0, fmt.Errorf("%s is more than %d", s, most)
	case err != nil || strconv.FormatUint(n, 10) != s:
		return 0, fmt.Errorf("%q is not a decimal number", s)
	}
	return n, nil
}

// parsePrefix reads an address or a prefix; an address gets its full length.
// Host bits are kept. An IPv4 address mapped into IPv6 and a zone are refused:
// the kernel would take the first for another family, and knows no second.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		var a netip.Addr
		if strings.Contains(s, "/") {
			return netip.Prefix{}, fmt.Errorf("%q is not an address with prefix length", s)
		}
		if a, err = parseAddr(s); err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 address mapped into IPv6; write it as IPv4", s)
	}
	return p, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	case a.Zone() != "":
		return netip.Addr{}, fmt.Errorf("%q has a zone, which has no meaning on other hosts", s)
	case a.Is4In6():
		return netip.Addr{}, fmt.Errorf("%q is an IPv4 address mapped into IPv6; write it as IPv4", s)
	}
	return a, nil
}

// checkUnicast refuses addresses that no host on a routed network can have.
func checkUnicast(a netip.Addr) error {
	var what string
	switch {
	case a.IsUnspecified() || a.Is4() && a.As4()[0] == 0:
		what = "the unspecified network (RFC 1122 §3.2.1.3)"
	case a.IsLoopback():
		what = "loopback"
	case a.IsMulticast():
		what = "multicast"
	case a.IsLinkLocalUnicast():
		what = "link-local, which is not routed"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		what = "the broadcast address"
	default:
		return nil
	}
	return fmt.Errorf("%s is not a unicast address: it is %s", a, what)
}

// parseSelector reads a selector of nodes or endpoints. An absent one gives
// nil.
func parseSelector(s *string) (*selector.Selector, error) {
	if s == nil || *s == "" {
		return nil, nil
	}
	sel, err := parseAnySelector(*s)
	if err != nil {
		return nil, err
	}
	if sel.HasGlobal() {
		return nil, errors.New("global() has no meaning here")
	}
	return sel, nil
}

// parseAnySelector reads a selector that may have global() in it.
func parseAnySelector(s string) (*selector.Selector, error) {
	if n := len([]rune(s)); n > selector.MaxLength {
		return nil, fmt.Errorf("%d characters long, at most %d are allowed", n, selector.MaxLength)
	}
	return selector.Parse(s)
}

// parseDuration reads a duration of whole seconds within bounds.
func parseDuration(s string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf(`%q is not a duration such as "30s"`, s)
	case d < least || d > most:
		return 0, fmt.Errorf("%s is not between %s and %s", d, least, most)
	case d%time.Second != 0:
		return 0, fmt.Errorf("%s is not a whole number of seconds", d)
	}
	return d, nil
}
