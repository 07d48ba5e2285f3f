package integration_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// talk is an open connection to something that repeats every line.
type talk struct {
	net.Conn
	answers *bufio.Reader
	lines   int
}

// repeat answers every line to the port of a workload with itself.
func repeat(t *testing.T, w *lab.Workload, port int) {
	t.Helper()
	l, err := w.Listen(t.Context(), "tcp4", fmt.Sprintf("%s:%d", w.Addr(true), port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintln(c, lines.Text())
				}
			}()
		}
	}()
}

func dial(t *testing.T, from, to *lab.Workload, port int) *talk {
	t.Helper()
	var c net.Conn
	lab.Eventually(t, fabric.Limit, from.Name()+" connects to "+to.Name(), func() (err error) {
		c, err = from.DialContext(t.Context(), "tcp4", fmt.Sprintf("%s:%d", to.Addr(true), port))
		return err
	})
	t.Cleanup(func() { c.Close() })
	return &talk{Conn: c, answers: bufio.NewReader(c)}
}

// say sends a line, and returns an error if it is not repeated in time.
func (c *talk) say(within time.Duration) error {
	c.lines++
	_ = c.SetDeadline(time.Now().Add(within))
	if _, err := fmt.Fprintln(c, c.lines); err != nil {
		return err
	}
	answer, err := c.answers.ReadString('\n')
	if err == nil && answer != fmt.Sprintln(c.lines) {
		err = fmt.Errorf("%q answers line %d", answer, c.lines)
	}
	return err
}

// Open connections go on when policy allows them no longer, unless the
// configuration says that they are cut: then others go on.
func TestCutDeniedConnections(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "cut", 1)
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{Extra: enforced})
	}
	h1, h2 := s.Hosts[0], s.Hosts[1]
	h1.WaitReady()
	h1.Apply(fabric.PoolManifest)
	h2.WaitReady()
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
	repeat(t, db, 80)
	first, second := dial(t, web, db, 80), dial(t, other, db, 80)
	for _, c := range []*talk{first, second} {
		if err := c.say(fabric.Limit); err != nil {
			t.Fatal(err)
		}
	}
	allow("{'other'}")
	requireReach(t, web, db, false)
	if err := first.say(fabric.Limit); err != nil {
		t.Fatalf("a connection was cut that nobody asked to cut: %v", err)
	}

	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {cutDeniedConnections: true}
`)
	lab.Eventually(t, fabric.Limit, "the connection of web is cut", func() error {
		if first.say(time.Second) == nil {
			return errors.New("it is answered")
		}
		return nil
	})
	if err := second.say(fabric.Limit); err != nil {
		t.Fatalf("a connection that is allowed was cut: %v", err)
	}
	third := dial(t, other, db, 80)
	allow("{'web'}")
	lab.Eventually(t, fabric.Limit, "the connections of other are cut", func() error {
		for _, c := range []*talk{second, third} {
			if c.say(time.Second) == nil {
				return errors.New("one is answered")
			}
		}
		return nil
	})
}
