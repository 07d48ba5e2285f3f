package bgp

import "testing"

func TestMartian(t *testing.T) {
	pools := NewPools([]Pool{{Prefix: prefix("240.1.0.0/16")}, {Prefix: prefix("0.0.0.0/0")}})
	narrow := NewPools([]Pool{{Prefix: prefix("240.1.0.0/16")}})
	for p, want := range map[string]bool{
		"0.0.0.0/0": false, "0.0.0.0/8": true, "0.1.2.3/32": true, "0.0.0.0/7": false, "10.0.0.0/8": false,
		"127.0.0.1/32": true, "169.254.0.0/16": true, "169.254.9.0/24": true, "169.0.0.0/8": false,
		"224.0.0.0/4": true, "239.1.1.1/32": true, "240.0.0.0/4": true, "240.2.0.1/32": true, "240.1.0.1/32": false,
		"255.255.255.255/32": true, "192.0.2.1/32": false, "198.18.0.0/15": false,
		"::/0": false, "::/128": true, "::1/128": true, "::2/128": false, "::ffff:10.0.0.0/104": true,
		"fe80::1/128": true, "fe80::/10": true, "ff02::1/128": true, "fd00::1/128": false, "2001:db8::/32": false,
	} {
		if got := narrow.Martian(prefix(p)); got != want {
			t.Errorf("%s: martian %t", p, got)
		}
	}
	if !pools.Martian(prefix("127.0.0.1/32")) || pools.Martian(prefix("240.2.0.1/32")) {
		t.Error("a pool holds what no pool can, or lacks what it has")
	}
}

func TestApply(t *testing.T) {
	p := Path{Communities: []Community{1, 2}, ASPath: []uint32{65001}, ASPathLen: 1, LocalPref: 100}
	o := &Operations{
		AddCommunities: []Community{2, 3}, AddLarge: []LargeCommunity{{1, 2, 3}}, Prepend: []uint32{65010, 65011},
		Priority: 512, HasPriority: true,
	}
	want := Path{
		Communities: []Community{1, 2, 3}, LargeCommunities: []LargeCommunity{{1, 2, 3}},
		ASPath: []uint32{65010, 65011, 65001}, ASPathLen: 3, LocalPref: 1<<31 - 1 - 512,
	}
	if got := o.Apply(p); !got.Equal(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := (*Operations)(nil).Apply(p); !got.Equal(p) || len(p.Communities) != 2 {
		t.Errorf("%+v was changed", got)
	}
}
