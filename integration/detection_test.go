package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestNodeIsDetected: a host that states no address is known by the one that was
// detected, and says why; a method in the file holds at the next start, and what
// would be found otherwise later is told, and changes nothing.
func TestNodeIsDetected(t *testing.T) {
	needDaemons(t)
	l := lab.New(t, "detected")
	h, other := l.Host("h"), l.Host("other")
	l.Link(h.Port("up0", "10.1.0.2/24"), other.Port("p0", "10.1.0.1/24"))
	l.Link(h.Port("up1", "10.2.0.2/24"), other.Port("p1", "10.2.0.1/24"))
	h.AddAddr("lo", "10.9.9.9/32")
	h.Workload("w", "cali1", "10.65.0.1")
	h.AddAddr("cali1", "10.9.9.8/32")
	d := fabric.New(t, h, fabric.Settings{})
	expect := func(address, method, problem string) {
		t.Helper()
		lab.Eventually(t, fabric.Limit, "node by "+method, func() error {
			out, err := d.Ctl("get", "node", "h", "-o", "yaml")
			if err != nil || !strings.Contains(out, "ipv4Address: "+address) {
				return fmt.Errorf("%w: %s is not in: %s", err, address, out)
			}
			st, err := d.Nodes.GetStatus(t.Context(), &vrouterv1.GetStatusRequest{})
			if err != nil {
				return err
			}
			f := st.GetDetections()[0]
			if f.GetMethod() != method || f.GetAddress() != address || f.GetReason() == "" || len(f.GetCandidates()) < 3 {
				return fmt.Errorf("detection %v", f)
			}
			if all := strings.Join(st.GetProblems(), "\n"); (problem == "") != (all == "") || !strings.Contains(all, problem) {
				return fmt.Errorf("problems %q", all)
			}
			return nil
		})
	}
	lists := func(want ...string) {
		t.Helper()
		lab.Eventually(t, fabric.Limit, "interfaces in the Node", func() error {
			n, err := d.Resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "Node", Name: "h"})
			if err != nil {
				return err
			}
			var got []string
			for _, link := range n.GetResource().GetNode().GetSpec().GetInterfaces() {
				got = append(got, link.GetName()+" "+strings.Join(link.GetAddresses(), " "))
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("lists %q, want %q", got, want)
			}
			return nil
		})
	}
	d.WaitReady()
	expect("10.1.0.2/24", "first-found", "")
	lists("up0 10.1.0.2", "up1 10.2.0.2")
	h.MustRun("ip", "addr", "del", "10.1.0.2/24", "dev", "up0")
	h.AddAddr("up0", "10.1.0.3/24")
	expect("10.1.0.2/24", "first-found", "now it would be 10.1.0.3/24")
	lists("up0 10.1.0.3", "up1 10.2.0.2")
	d.Stop()
	d.Start()
	d.WaitReady()
	expect("10.1.0.3/24", "first-found", "")

	d.Stop()
	d.Configure(fabric.Settings{IPv4: "interface=^lo$"})
	d.Start()
	d.WaitReady()
	expect("10.9.9.9/32", "interface=^lo$", "")
}

// TestNodeIsDetectedLate: a daemon that starts before its host has an address, as
// before a lease is given, runs and says what it lacks; it takes the first address
// of each family when that comes, and speaks BGP by it.
func TestNodeIsDetectedLate(t *testing.T) {
	needDaemons(t)
	l := lab.New(t, "late")
	h, other := l.Host("h"), l.Host("other")
	l.Link(h.Port("up0"), other.Port("p0", "10.1.0.1/24", "fd00:1::1/64"))
	d := fabric.New(t, h, fabric.Settings{})
	d.WaitReady()
	d.Apply("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: other}, spec: {bgp: {ipv4Address: 10.1.0.1/24, ipv6Address: fd00:1::1/64}}}\n")
	expect := func(problem string, addresses ...string) {
		t.Helper()
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("a node known by %q", addresses), func() error {
			n, err := d.Resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "Node", Name: "h"})
			if err != nil {
				return err
			}
			own := n.GetResource().GetNode().GetSpec().GetBgp()
			st, err := d.Nodes.GetStatus(t.Context(), &vrouterv1.GetStatusRequest{})
			if err != nil {
				return err
			}
			var found, detected, sessions []string
			for _, a := range []string{own.GetIpv4Address(), own.GetIpv6Address()} {
				if a != "" {
					found = append(found, a)
				}
			}
			for _, f := range st.GetDetections() {
				if f.GetAddress() != "" {
					detected = append(detected, f.GetAddress())
				}
			}
			for _, p := range st.GetPeers() {
				sessions = append(sessions, p.GetFamily())
			}
			all := strings.Join(st.GetProblems(), "\n")
			if !slices.Equal(found, addresses) || !slices.Equal(detected, addresses) || len(sessions) != len(addresses) ||
				(problem == "") != (all == "") || !strings.Contains(all, problem) {
				return fmt.Errorf("node has %q, detected %q, sessions %q, problems %q", found, detected, sessions, all)
			}
			return nil
		})
	}
	expect("no IPv4 address was detected by first-found: no address will do")
	h.MustRun("ip", "addr", "add", "fd00:1::2/64", "dev", "up0")
	expect("", "fd00:1::2/64")
	h.AddAddr("up0", "10.1.0.2/24")
	expect("", "10.1.0.2/24", "fd00:1::2/64")
}
