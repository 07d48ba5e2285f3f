package lab_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

const frrConfig = `
frr defaults datacenter
ip route 10.99.1.1/32 blackhole
router bgp 65001
 bgp router-id 10.1.0.1
 no bgp ebgp-requires-policy
 neighbor 10.1.0.2 remote-as 65002
 neighbor 10.1.0.2 timers connect 1
 address-family ipv4 unicast
  network 10.99.1.1/32
 exit-address-family
!
`

const birdConfig = `
router id 10.1.0.2;
protocol device { }
protocol kernel { ipv4 { import none; export all; }; }
protocol static { ipv4; route 10.99.2.1/32 blackhole; }
protocol bgp frr {
  local 10.1.0.2 as 65002; neighbor 10.1.0.1 as 65001;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; };
}
`

func TestFRRAndBIRDExchangeRoutes(t *testing.T) {
	testenv.Need(t, "root", "program:zebra", "program:bgpd", "program:staticd", "program:vtysh", "program:bird", "program:birdc")
	l := lab.New(t, "daemons")
	a, b := l.Host("frr"), l.Host("bird")
	l.Link(a.Port("up0", "10.1.0.1/24"), b.Port("up0", "10.1.0.2/24"))
	frr := a.FRR(frrConfig, "staticd")
	bird := b.BIRD(birdConfig)

	fromBIRD := func() error {
		var routes map[string][]struct{ Protocol string }
		if err := frr.VtyshJSON(t.Context(), &routes, "show ip route bgp"); err != nil {
			return err
		}
		if len(routes["10.99.2.1/32"]) != 1 {
			return fmt.Errorf("BGP routes: %v", routes)
		}
		return nil
	}
	fromFRR := func() error {
		out, err := b.Run(t.Context(), "ip", "route", "show", "10.99.1.1")
		if err == nil && !strings.Contains(string(out), "via 10.1.0.1") {
			err = fmt.Errorf("no route: %s", out)
		}
		return err
	}
	lab.Eventually(t, limit, "FRR has BIRD's route", fromBIRD)
	lab.Eventually(t, limit, "BIRD has FRR's route", fromFRR)

	bird.Kill()
	bird.Start()
	lab.Eventually(t, limit, "BIRD has FRR's route again", fromFRR)
	frr.Kill()
	frr.Start()
	lab.Eventually(t, limit, "FRR has BIRD's route again", fromBIRD)
	if out, err := bird.Birdc(t.Context(), "show", "protocols", "frr"); err != nil || !strings.Contains(out, "BGP") {
		t.Errorf("birdc: %v: %s", err, out)
	}
}

func TestEtcdSurvivesRestart(t *testing.T) {
	testenv.Need(t, "root", "program:etcd")
	l := lab.New(t, "etcd")
	sw := l.Switch("sw")
	var members []lab.EtcdMember
	for i := range 3 {
		h := l.Host(fmt.Sprintf("e%d", i+1))
		a := fmt.Sprintf("10.4.0.%d", i+1)
		sw.Connect(h.Port("eth0", a+"/24"))
		members = append(members, lab.EtcdMember{Host: h, Addr: addr(a)})
	}
	cluster := l.Etcd(members...)
	cluster[0].Kill()
	cluster[0].Start()
	client := &http.Client{Transport: &http.Transport{DialContext: members[1].Host.DialContext, DisableKeepAlives: true}}
	resp, err := client.Get(cluster[0].Endpoint + "/version")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}
