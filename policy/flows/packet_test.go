package flows

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const v6 = "60000000 0040 %s 40 20010db8000000000000000000000001 20010db8000000000000000000000002 %s"
	for _, tt := range []struct{ name, packet, want string }{
		{"TCP", "4500003c 00004000 4006 0000 0a410001 0a410002 c001 0050", "{10.65.0.1 10.65.0.2 6 49153 80 0 0} 60"},
		{"options", "4600003c 00004000 4011 0000 0a410001 0a410002 01010101 c001 0035", "{10.65.0.1 10.65.0.2 17 49153 53 0 0} 60"},
		{"later fragment", "4500003c 00000010 4011 0000 0a410001 0a410002 c001 0035", "{10.65.0.1 10.65.0.2 17 0 0 0 0} 60"},
		{"ICMP", "45000054 00004000 4001 0000 0a410001 0a410002 0800", "{10.65.0.1 10.65.0.2 1 0 0 8 0} 84"},
		{"cut off", "4500003c 00004000 4006 0000 0a410001 0a410002 c0", "{10.65.0.1 10.65.0.2 6 0 0 0 0} 60"},
		{"UDP 6", fmt.Sprintf(v6, "11", "c001 0035"), "{2001:db8::1 2001:db8::2 17 49153 53 0 0} 104"},
		{"ICMPv6", fmt.Sprintf(v6, "3a", "8701"), "{2001:db8::1 2001:db8::2 58 0 0 135 1} 104"},
		{"extensions", fmt.Sprintf(v6, "00", "3c 00 000000000000 06 01 000000000000 0000000000000000 c001 01bb 0000 0000"), "{2001:db8::1 2001:db8::2 6 49153 443 0 0} 104"},
		{"later fragment 6", fmt.Sprintf(v6, "2c", "06 00 0010 00000001 c001 01bb"), "{2001:db8::1 2001:db8::2 6 0 0 0 0} 104"},
		{"endless header", fmt.Sprintf(v6, "3c", "06 ff 0000 00000000"), "{2001:db8::1 2001:db8::2 6 0 0 0 0} 104"},
	} {
		data, err := hex.DecodeString(strings.ReplaceAll(tt.packet, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		p, length, err := parse(data)
		if got := fmt.Sprint(p, length); err != nil || got != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "45", "60", "00", "4100003c00004000400600000a4100010a410002"} {
		data, _ := hex.DecodeString(bad)
		if p, _, err := parse(data); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
}

// FuzzParse holds that no packet is the end of the daemon.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x45\x00\x00\x3c\x00\x00\x40\x00\x40\x06\x00\x00\x0a\x41\x00\x01\x0a\x41\x00\x02\xc0\x01\x00\x50"))
	f.Add([]byte("\x60\x00\x00\x00\x00\x40\x00\x40" + strings.Repeat("\x20", 32) + "\x3c\x01\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _, _ = parse(data) })
}
