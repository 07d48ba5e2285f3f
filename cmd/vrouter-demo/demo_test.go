package main

import (
	"bytes"
	"testing"
	"time"
)

func TestMissingNamesProgramsAndPackages(t *testing.T) {
	have := map[string]string{"ip": "/sbin/ip", "bird": "/usr/sbin/bird", "birdc": "/usr/sbin/birdc"}
	find := func(name string) string { return have[name] }
	err := missing(programs, find)
	want := "this machine lacks etcd, zebra, bgpd, vtysh: on Debian, apt-get install etcd-server frr"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := missing(programs, func(name string) string { return "/bin/" + name }); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
}

func TestMatrixShowsWhoReachesWhom(t *testing.T) {
	m := newMatrix([]string{"w1", "w2", "w10"})
	for i := range 3 {
		for j := range 3 {
			if i != j {
				m.set(i, j, true, j != 2)
				m.set(i, j, false, true)
			}
		}
	}
	want := "" +
		"     w1   w2   w10\n" +
		"w1        46   -6\n" +
		"w2   46        -6\n" +
		"w10  46   46\n"
	if got := m.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestPrinter(t *testing.T) {
	var out bytes.Buffer
	p := &printer{out: &out}
	p.section("Title", "It took %s.", seconds(1540*time.Millisecond))
	p.line("")
	p.line("%d of %d", 1, 2)
	p.text("show", from("legend\n\n  Network  Path\n  a\n", "Network"))
	want := "\nTitle\n-----\nIt took 1.5 s.\n\n  1 of 2\n\n  $ show\n    Network  Path\n    a\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFromWithoutItsLineIsAll(t *testing.T) {
	if got := from("a\nb\n", "Network"); got != "a\nb\n" {
		t.Errorf("got %q", got)
	}
}
