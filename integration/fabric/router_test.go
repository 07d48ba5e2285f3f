package fabric

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// birdDetails has a path with all attributes, another of its prefix that is
// stale, and one that came as a long-lived stale one.
const birdDetails = `BIRD 2.0.12 ready.
Table master4:
10.65.1.1/32         unicast [p1 14:24:12.254 from 10.0.0.1] * (100) [i]
	via 10.0.0.3 on eth0
	Type: BGP univ
	BGP.origin: IGP
	BGP.as_path: 
	BGP.next_hop: 10.0.0.3
	BGP.local_pref: 101
	BGP.community: (64512,1)
	BGP.originator_id: 10.255.0.1
	BGP.cluster_list: 10.254.0.1 10.253.0.1
                     unicast [p3 14:24:12.254 from 10.0.0.2] (100s) [i]
	via 10.0.0.3 on eth0
	BGP.next_hop: 10.0.0.3
	BGP.local_pref: 101
10.65.1.2/32         unicast [p1 14:24:12.254 from 10.0.0.1] * (100s) [i]
	BGP.next_hop: 10.0.0.3
	BGP.local_pref: 7
	BGP.community: (64512,1) (65535,6)
`

func TestBIRDRoutes(t *testing.T) {
	want := []Route{
		{
			Prefix: "10.65.1.1/32", NextHop: "10.0.0.3", LocalPref: 101, Originator: "10.255.0.1",
			Clusters: []string{"10.254.0.1", "10.253.0.1"}, Communities: []string{"64512:1"},
		},
		{Prefix: "10.65.1.1/32", NextHop: "10.0.0.3", LocalPref: 101, Stale: true},
		{Prefix: "10.65.1.2/32", NextHop: "10.0.0.3", LocalPref: 7, Communities: []string{"64512:1", LongLivedStale}},
	}
	if diff := cmp.Diff(want, birdRoutes(birdDetails)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFRRPath(t *testing.T) {
	var p frrPath
	err := json.Unmarshal([]byte(`{"locPrf": 101, "originatorId": "10.255.0.1", "clusterList": {"list": ["10.254.0.1"]},
		"community": {"list": ["64512:1", "llgrStale"]},
		"nexthops": [{"ip": "fd00::3", "scope": "global"}, {"ip": "fe80::3", "scope": "link-local"}]}`), &p)
	if err != nil {
		t.Fatal(err)
	}
	want := Route{
		Prefix: "fd00:65::1/128", NextHop: "fd00::3", LocalPref: 101, Originator: "10.255.0.1",
		Clusters: []string{"10.254.0.1"}, Communities: []string{"64512:1", LongLivedStale},
	}
	if diff := cmp.Diff(want, p.route("fd00:65::1/128")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGoBGPPath(t *testing.T) {
	var p gobgpPath
	err := json.Unmarshal([]byte(`{"attrs": [{"type": 1, "value": 0}, {"type": 14, "nexthop": "fd00::3", "afi": 2, "safi": 1},
		{"type": 5, "value": 101}, {"type": 8, "communities": [4227858433]}, {"type": 9, "value": "10.255.0.1"},
		{"type": 10, "value": ["10.254.0.1"]}]}`), &p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.route("fd00:65::1/128")
	want := Route{
		Prefix: "fd00:65::1/128", NextHop: "fd00::3", LocalPref: 101, Originator: "10.255.0.1",
		Clusters: []string{"10.254.0.1"}, Communities: []string{"64512:1"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}
