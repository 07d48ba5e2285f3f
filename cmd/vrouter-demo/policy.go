package main

import (
	"errors"
	"fmt"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// policyName is the policy that the demo applies and deletes.
const policyName = "demo"

// police has one workload refuse another, shows why, and takes it back.
func (d *demo) police() {
	h := d.racks.Hosts[0]
	friend, stranger, guarded := d.workloads[0], d.workloads[1], d.workloads[len(d.workloads)-1]
	d.section("Policy", "%s refuses ICMP from %s, by a policy that holds on the host of %s within a moment.",
		guarded.Name(), stranger.Name(), guarded.Name())
	h.Apply(fmt.Sprintf(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: %s}
spec:
  selector: all()
  types: [Ingress]
  ingress:
  - {action: Deny, protocol: ICMP, source: {nets: [%s/32]}, destination: {nets: [%s/32]}}
  - {action: Allow}
`, policyName, stranger.Addr(true), guarded.Addr(true)))
	d.require(friend, guarded, true)
	d.require(stranger, guarded, false)
	args := []string{"explain", "default/" + stranger.Name(), "default/" + guarded.Name(), "--protocol", "icmp", "--family", "ipv4"}
	out, err := h.Ctl(args...)
	if err == nil {
		d.t.Fatalf("vrouterctl %v allows what is refused:\n%s", args, out)
	}
	d.text("vrouterctl explain default/"+stranger.Name()+" default/"+guarded.Name()+" --protocol icmp --family ipv4", out)
	if out, err := h.Ctl("delete", "globalnetworkpolicy", policyName); err != nil {
		d.t.Fatalf("delete the policy: %v\n%s", err, out)
	}
	d.require(stranger, guarded, true)
	d.line("")
	d.line("%s was answered all the time, %s is again: the policy is deleted.", friend.Name(), stranger.Name())
}

// require waits until one workload reaches another over IPv4, or does not.
func (d *demo) require(from, to *lab.Workload, reaches bool) {
	lab.Eventually(d.t, pingLimit, fmt.Sprintf("%s reaches %s: %t", from.Name(), to.Name(), reaches), func() error {
		err := from.Ping(to.Addr(true))
		if !reaches && err == nil {
			return errors.New("it is answered")
		}
		if !reaches {
			return nil
		}
		return err
	})
}
