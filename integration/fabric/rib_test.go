package fabric

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// birdAnswer has a prefix with two paths, an IPv6 path with a link-local next
// hop beside the global one, and a route that is not from BGP.
const birdAnswer = `BIRD 2.0.12 ready.
Table master4:
10.65.1.1/32         unicast [tor1 14:24:12.254] * (100) [AS65201i]
	via 10.8.1.2 on tor1
	Type: BGP univ
	BGP.origin: IGP
	BGP.as_path: 65101 65201
	BGP.next_hop: 10.8.1.2
	BGP.local_pref: 100
                     unicast [tor2 14:24:12.254] (100) [AS65201i]
	via 10.8.2.2 on tor2
	Type: BGP univ
	BGP.as_path: 65102 65201
	BGP.next_hop: 10.8.2.2
10.0.0.0/8           blackhole [static1 14:24:12.254] * (200)
	Type: static univ

Table master6:
fd00:65::1:1/128     unicast [tor1v6 14:24:12.256] * (100) [i]
	via fd00:8:1::2 on tor1
	Type: BGP univ
	BGP.as_path:
	BGP.next_hop: fd00:8:1::2 fe80::b4b9:63ff:fe2d:3100
`

func TestBIRDPaths(t *testing.T) {
	want := []string{
		"10.65.1.1/32 via 10.8.1.2 path 65101 65201",
		"10.65.1.1/32 via 10.8.2.2 path 65102 65201",
		"10.0.0.0/8 via  path",
		"fd00:65::1:1/128 via fd00:8:1::2 path",
	}
	if diff := cmp.Diff(want, birdPaths(birdAnswer)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzBIRDPaths: any text is read without a panic, and no path is made up.
func FuzzBIRDPaths(f *testing.F) {
	f.Add(birdAnswer)
	f.Fuzz(func(t *testing.T, out string) {
		if paths, lines := len(birdPaths(out)), strings.Count(out, "\n")+1; paths > lines {
			t.Errorf("%d paths in %d lines", paths, lines)
		}
	})
}
