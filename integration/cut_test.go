package integration_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// Open connections go on when policy allows them no longer, unless the
// configuration says that they are cut: then others go on.
func TestCutDeniedConnections(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "cut", 1)
	h1, h2 := enforcing(s)
	web := labelled(t, h1, "web", map[string]string{"role": "web"}, 0, 0)
	other := labelled(t, h1, "other", map[string]string{"role": "other"}, 0, 1)
	db := labelled(t, h2, "db", map[string]string{"role": "db"}, 1, 0)
	allow := func(roles string) {
		h1.Apply(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.db}
spec:
  selector: role == "db"
  types: [Ingress, Egress] # it may begin nothing, so that its answers open no way
  ingress:
  - {action: Allow, source: {selector: "role in ` + roles + `"}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.clients}
spec: {selector: role != "db", types: [Egress], egress: [{action: Allow}]}
`)
	}
	allow("{'web', 'other'}")
	at := netip.AddrPortFrom(db.Addr(true), 80)
	db.Repeat(at)
	first, second := web.Talk(at, fabric.Limit), other.Talk(at, fabric.Limit)
	for _, c := range []*lab.Talk{first, second} {
		if err := c.Say(fabric.Limit); err != nil {
			t.Fatal(err)
		}
	}
	allow("{'other'}")
	requireReach(t, web, db, false)
	if err := first.Say(fabric.Limit); err != nil {
		t.Fatalf("a connection was cut that nobody asked to cut: %v", err)
	}

	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {cutDeniedConnections: true}
`)
	lab.Eventually(t, fabric.Limit, "the connection of web is cut", func() error {
		if first.Say(time.Second) == nil {
			return errors.New("it is answered")
		}
		return nil
	})
	if err := second.Say(fabric.Limit); err != nil {
		t.Fatalf("a connection that is allowed was cut: %v", err)
	}
	third := other.Talk(at, fabric.Limit)
	allow("{'web'}")
	lab.Eventually(t, fabric.Limit, "the connections of other are cut", func() error {
		for _, c := range []*lab.Talk{second, third} {
			if c.Say(time.Second) == nil {
				return errors.New("one is answered")
			}
		}
		return nil
	})
}
