package cli

import (
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
)

func TestParseTarget(t *testing.T) {
	wep := resource.KindWorkloadEndpoint
	for _, tt := range []struct {
		args []string
		want []ref
	}{
		{[]string{"peers", "tor1"}, []ref{{resource.KindBGPPeer, "", "tor1"}}},
		{[]string{"bgpp/tor1", "node/h1"}, []ref{{resource.KindBGPPeer, "", "tor1"}, {resource.KindNode, "", "h1"}}},
		{[]string{"wep", "h1-docker-web--1-eth0"}, []ref{{wep, "ns", "h1-docker-web--1-eth0"}}},
		{[]string{"wep", "docker/web-1/eth0"}, []ref{{wep, "ns", "docker/web-1/eth0"}}},
		{[]string{"wep/h1-docker-web--1-eth0"}, []ref{{wep, "ns", "h1-docker-web--1-eth0"}}},
		{[]string{"wep/prod/h1-docker-web--1-eth0"}, []ref{{wep, "prod", "h1-docker-web--1-eth0"}}},
		{[]string{"wep/docker/web-1/eth0"}, []ref{{wep, "ns", "docker/web-1/eth0"}}},
		{[]string{"wep/prod/docker/web-1/eth0"}, []ref{{wep, "prod", "docker/web-1/eth0"}}},
	} {
		got, err := parseTarget(tt.args, "ns")
		if err != nil || len(got.kinds) > 0 || len(got.refs) != len(tt.want) {
			t.Errorf("%q: got %v, %v", tt.args, got, err)
			continue
		}
		for i := range tt.want {
			if got.refs[i] != tt.want[i] {
				t.Errorf("%q: got %v, want %v", tt.args, got.refs[i], tt.want[i])
			}
		}
	}
}

// FuzzParseTyped checks that a name is read as what it says when it is printed.
func FuzzParseTyped(f *testing.F) {
	for _, seed := range []string{"bgppeer/tor1", "wep/prod/h1-docker-web--1-eth0", "wep/docker/a%2Fb/eth0", "wep/p/o/w/e", "node/a/b", "/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseTyped(text, "ns")
		if err != nil {
			return
		}
		again, err := parseTyped(r.String(), "other")
		if err != nil || again != r {
			t.Fatalf("%q is %v, which is read as %v, %v", text, r, again, err)
		}
	})
}

func FuzzDecodeTree(f *testing.F) {
	for _, seed := range []string{`{"a": 1.0}`, "a: [1, x]", "? {a: 1}\n: b", "\xff", "a: &x [*x]", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = decodeTree(data)
	})
}
