package resource

import (
	"math"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
)

func TestAS(t *testing.T) {
	for _, test := range []struct {
		value *structpb.Value
		want  uint32 // zero: refused
		why   string
	}{
		{structpb.NewNumberValue(64512), 64512, ""},
		{structpb.NewStringValue("64512"), 64512, ""},
		{structpb.NewStringValue("0.64512"), 64512, ""},
		{structpb.NewStringValue("65000.1"), 65000<<16 | 1, ""},
		{structpb.NewNumberValue(4294967294), 4294967294, ""},
		{structpb.NewStringValue("1.10"), 1<<16 | 10, ""},
		{structpb.NewNumberValue(1.10), 0, "1.1 is not a whole number; dotted notation must be in quotes"},
		{structpb.NewNumberValue(65000.1), 0, "65000.1 is not a whole number"},
		{structpb.NewNumberValue(math.NaN()), 0, "not a number"},
		{structpb.NewNumberValue(math.Inf(1)), 0, "not a number"},
		{structpb.NewNumberValue(-1), 0, "-1 is not between 0 and 4294967295"},
		{structpb.NewNumberValue(4294967296), 0, "4294967296 is not between"},
		{structpb.NewNumberValue(0), 0, "0 is not an AS number (RFC 7607)"},
		{structpb.NewStringValue("0.0"), 0, "0 is not an AS number (RFC 7607)"},
		{structpb.NewStringValue("0.23456"), 0, "23456 is reserved as AS_TRANS"},
		{structpb.NewNumberValue(65535), 0, "65535 is reserved (RFC 7300)"},
		{structpb.NewStringValue("65535.65535"), 0, "4294967295 is reserved (RFC 7300)"},
		{structpb.NewStringValue("65536.1"), 0, `"65536.1" is not an AS number in dotted notation: 65536 is more than 65535`},
		{structpb.NewStringValue("1.2.3"), 0, `"1.2.3" is not an AS number in dotted notation`},
		{structpb.NewStringValue("AS1"), 0, `"AS1" is not an AS number`},
		{structpb.NewStringValue("+1"), 0, `"+1" is not an AS number`},
		{structpb.NewStringValue("01"), 0, `"01" is not an AS number`},
		{structpb.NewStringValue(" 1"), 0, `" 1" is not an AS number`},
		{structpb.NewStringValue("99999999999999999999"), 0, "99999999999999999999 is more than"},
		{structpb.NewStringValue(""), 0, `"" is not an AS number`},
		{structpb.NewStringValue("."), 0, `"." is not an AS number in dotted notation`},
		{structpb.NewBoolValue(true), 0, "must be a number or a text"},
		{structpb.NewNullValue(), 0, "must be a number or a text"},
		{&structpb.Value{}, 0, "must be a number or a text"},
	} {
		as, err := parseAS(test.value)
		why := ""
		if err != nil {
			why = err.Error()
		}
		if as != test.want || !strings.Contains(why, test.why) || (err == nil) != (test.want != 0) {
			t.Errorf("%v: %d, %v; wanted %d, %s", test.value, as, err, test.want, test.why)
		}
		if err != nil {
			continue
		}
		canonicalizeAS(test.value)
		if test.value.GetNumberValue() != float64(test.want) {
			t.Errorf("canonical form of %d is %v", as, test.value)
		}
	}
}

func TestPeerIP(t *testing.T) {
	for text, want := range map[string]netip.AddrPort{
		"192.0.2.1":           netip.MustParseAddrPort("192.0.2.1:0"),
		"192.0.2.1:1790":      netip.MustParseAddrPort("192.0.2.1:1790"),
		"2001:db8::1":         netip.MustParseAddrPort("[2001:db8::1]:0"),
		"[2001:db8::1]:1790":  netip.MustParseAddrPort("[2001:db8::1]:1790"),
		"[2001:DB8::1]:65535": netip.MustParseAddrPort("[2001:db8::1]:65535"),
	} {
		addr, port, err := parsePeerIP(text)
		if got := netip.AddrPortFrom(addr, port); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

func TestProtocol(t *testing.T) {
	for _, good := range []*structpb.Value{
		structpb.NewStringValue("TCP"), structpb.NewStringValue("Sctp"), structpb.NewStringValue("17"),
		structpb.NewNumberValue(255),
	} {
		if _, err := parsePortProtocol(good); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, bad := range []*structpb.Value{
		structpb.NewStringValue("ICMP"), structpb.NewStringValue("256"), structpb.NewStringValue("0"),
		structpb.NewNumberValue(256), structpb.NewNumberValue(6.5), structpb.NewBoolValue(true), nil,
	} {
		if _, err := parsePortProtocol(bad); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}
