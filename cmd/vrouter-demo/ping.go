package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// pingLimit is how long all pings together may take. It takes well under a
// second once the routes are everywhere.
const pingLimit = 30 * time.Second

// pingAll pings from every workload to every other in both families.
func (d *demo) pingAll() {
	d.section("All pairs", "Everybody pings everybody: 4 stands for an answer over IPv4, 6 over IPv6.")
	ctx, cancel := context.WithTimeout(d.t.Context(), pingLimit)
	defer cancel()
	start := time.Now()
	names := make([]string, 0, len(d.workloads))
	for _, w := range d.workloads {
		names = append(names, w.Name())
	}
	m := newMatrix(names)
	failed := 0
	for i, from := range d.workloads {
		for j, to := range d.workloads {
			if i == j {
				continue
			}
			for _, v4 := range []bool{true, false} {
				err := lab.Wait(ctx, pingLimit, func() error { return from.Ping(to.Addr(v4)) })
				if err != nil {
					failed++
				}
				m.set(i, j, v4, err == nil)
			}
		}
	}
	for line := range strings.Lines(m.String()) {
		d.line("%s", strings.TrimRight(line, "\n"))
	}
	if failed > 0 {
		d.t.Fatalf("%d pings were not answered", failed)
	}
	pairs := len(names) * (len(names) - 1)
	d.line("")
	d.line("%d pairs, both families, all answered, in %s.", pairs, seconds(time.Since(start)))
}

// matrix is who reaches whom.
type matrix struct {
	names []string
	cells [][]string
}

func newMatrix(names []string) *matrix {
	m := &matrix{names: names}
	for range names {
		m.cells = append(m.cells, make([]string, len(names)))
	}
	return m
}

// set states whether i reaches j in a family; IPv4 comes first.
func (m *matrix) set(i, j int, v4, reaches bool) {
	mark := "-"
	switch {
	case reaches && v4:
		mark = "4"
	case reaches:
		mark = "6"
	}
	m.cells[i][j] += mark
}

// String has a row for each source and a column for each destination.
func (m *matrix) String() string {
	width := 0
	for _, n := range m.names {
		width = max(width, len(n))
	}
	var b strings.Builder
	row := func(head string, cells []string) {
		line := fmt.Sprintf("%-*s ", width, head)
		for _, c := range cells {
			line += fmt.Sprintf(" %-*s ", width, c)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	row("", m.names)
	for i, cells := range m.cells {
		row(m.names[i], cells)
	}
	return b.String()
}
