package store

import (
	"net/netip"
	"testing"
)

func TestKeys(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ResourceKey("Node", "", "host1"), "r/Node/-/host1"},
		{ResourceKey("WorkloadEndpoint", "default", "k8s/pod-1/eth0"), "r/WorkloadEndpoint/default/k8s%2Fpod-1%2Feth0"},
		{ResourceKey("NetworkSet", "-", "a b"), "r/NetworkSet/%2D/a%20b"},
		{ResourceKey("NetworkSet", "%2D", "é"), "r/NetworkSet/%252D/%C3%A9"},
		{StatusKey("Node", "", "host1"), "s/Node/-/host1"},
		{NamespacePrefix("WorkloadEndpoint", ""), "r/WorkloadEndpoint/-/"},
		{AddressKey(netip.MustParseAddr("::ffff:10.0.0.1")), "a/10.0.0.1"},
		{AddressKey(netip.MustParseAddr("FD00:0:0::1%eth0")), "a/fd00::1"},
		{LiveKey("agent", "host1"), "live/agent/host1"},
		{BlockKey(netip.MustParsePrefix("10.0.0.77/26")), "ipam/block/10.0.0.64%2F26"},
		{HostBlockKey("host1", netip.MustParsePrefix("fd00::/122")), "ipam/host/host1/fd00::%2F122"},
		{HandleKey("k8s.net/x"), "ipam/handle/k8s.net%2Fx"},
		{ElectKey("controller"), "elect/controller"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestParseKeysRefuses(t *testing.T) {
	for _, key := range []string{
		"", "r/", "r/Node", "r/Node/-", "r/Node//x", "r/Node/-/", "x/Node/-/a", "r/Node/-/a/b",
		"r/Node/-/%", "r/Node/-/%2", "r/Node/-/%2f", "r/Node/-/%41", "r/Node/-/a b", "r/Node/-/\x00",
	} {
		if kind, ns, name, err := ParseResourceKey(key); err == nil {
			t.Errorf("%q was read as %q %q %q", key, kind, ns, name)
		}
	}
	for _, key := range []string{"a/", "a/x", "a/::ffff:10.0.0.1", "a/FD00::1", "a/fe80::1%25eth0", "a/10.0.0.1/x"} {
		if a, err := ParseAddressKey(key); err == nil {
			t.Errorf("%q was read as %v", key, a)
		}
	}
	for _, key := range []string{"ipam/block/10.0.0.1%2F26", "ipam/block/x", "ipam/block/10.0.0.0/26"} {
		if p, err := ParseBlockKey(key); err == nil {
			t.Errorf("%q was read as %v", key, p)
		}
	}
}

func FuzzResourceKey(f *testing.F) {
	f.Add("Node", "", "host1")
	f.Add("NetworkSet", "-", "a/b")
	f.Add("NetworkSet", "%2D", "é \x00%")
	f.Fuzz(func(t *testing.T, kind, namespace, name string) {
		if kind == "" || name == "" {
			t.Skip()
		}
		for _, key := range []string{ResourceKey(kind, namespace, name), StatusKey(kind, namespace, name)} {
			k, ns, n, err := ParseResourceKey(key)
			if err != nil || k != kind || ns != namespace || n != name {
				t.Fatalf("%q: %q %q %q, %v", key, k, ns, n, err)
			}
		}
	})
}

func FuzzParseResourceKey(f *testing.F) {
	f.Add("r/Node/-/host1")
	f.Add("r/NetworkSet/%2D/%25")
	f.Fuzz(func(t *testing.T, key string) {
		kind, namespace, name, err := ParseResourceKey(key)
		if err != nil {
			return
		}
		if got := ResourceKey(kind, namespace, name); got[1:] != key[1:] {
			t.Fatalf("%q and %q mean the same", key, got)
		}
	})
}

func FuzzOtherKeys(f *testing.F) {
	f.Add("agent", "host1", []byte{10, 0, 0, 1}, 26)
	f.Add("-", "%2D/", []byte("0123456789abcdef"), 122)
	f.Fuzz(func(t *testing.T, role, node string, addr []byte, bits int) {
		if role == "" || node == "" {
			t.Skip()
		}
		if r, n, err := ParseLiveKey(LiveKey(role, node)); err != nil || r != role || n != node {
			t.Fatalf("live: %q %q, %v", r, n, err)
		}
		if h, err := ParseHandleKey(HandleKey(node)); err != nil || h != node {
			t.Fatalf("handle: %q, %v", h, err)
		}
		a, ok := netip.AddrFromSlice(addr)
		if !ok {
			t.Skip()
		}
		if got, err := ParseAddressKey(AddressKey(a)); err != nil || got != a.Unmap() {
			t.Fatalf("address: %v, %v", got, err)
		}
		p := netip.PrefixFrom(a.Unmap(), bits).Masked()
		if !p.IsValid() {
			t.Skip()
		}
		if n, got, err := ParseHostBlockKey(HostBlockKey(node, p)); err != nil || got != p || n != node {
			t.Fatalf("host block: %q %v, %v", n, got, err)
		}
		if got, err := ParseBlockKey(BlockKey(p)); err != nil || got != p {
			t.Fatalf("block: %v, %v", got, err)
		}
	})
}
