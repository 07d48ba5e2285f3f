// Package lab builds small fabrics out of network namespaces: hosts, links,
// switches, workloads, and real routing daemons (FRR, BIRD) and etcd in them,
// for tests and for the demo. Names, addresses and programs are the caller's.
//
// What it keeps true: a host has no link but those the lab made, so no packet
// leaves the machine; everything a lab made carries its id (the namespace by
// its name, a process by the VROUTER_LAB variable of its environment, a file
// by its directory), so that a process which knows nothing but the id can
// remove it; New and Sweep remove what labs of dead owners left and never
// touch a lab whose owner lives. Namespaces lie under /run/netns as iproute2
// expects: `ip netns exec ID-HOST ...` works.
//
// What it does not do: no mount, pid or user namespaces (a program sees the
// files and the /sys of the machine), no virtual machines, no traffic shaping.
// A Lab owns its state; methods of Lab and Host are for one goroutine at a
// time, those of Process and Pinger for any.
package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// T is what a lab needs of its user. *testing.T and *testing.B have it; Main
// makes one for a program. Fatalf does not return.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
	Context() context.Context
}

// Lab is one fabric. It is closed by its user's cleanup.
type Lab struct {
	t       T
	id      string
	dir     string
	owner   *os.File // locked while the lab lives
	hosts   []*Host
	spawner *spawner
	logs    []string // log files, in the order of their first process
}

// New makes an empty lab and first removes what labs of dead owners left.
// Name, of letters, digits and dashes, begins the lab's id and so the name of
// each of its namespaces.
func New(t T, name string) *Lab {
	t.Helper()
	if err := Sweep(t.Logf); err != nil {
		t.Logf("sweep of dead labs: %v", err)
	}
	id := name + "-" + strings.ToLower(rand.Text()[:5])
	owner, err := register(id)
	if err != nil {
		t.Fatalf("lab %s: %v", id, err)
	}
	l := &Lab{t: t, id: id, dir: labDir(id), owner: owner, spawner: newSpawner()}
	t.Cleanup(l.Close)
	return l
}

// ID is the lab's unique name. A host's namespace is called ID-HOST.
func (l *Lab) ID() string { return l.id }

// Dir is a directory of the lab's own for sockets, configs and logs. Close
// removes it.
func (l *Lab) Dir() string { return l.dir }

// File writes a file below Dir and returns its path.
func (l *Lab) File(name, content string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatalf("lab %s: %v", l.id, err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		l.t.Fatalf("lab %s: %v", l.id, err)
	}
	return path
}

// Close kills every process of the lab and removes its namespaces and files.
// After a failed test it first shows the end of every log. Closing twice is
// harmless.
func (l *Lab) Close() {
	if l.owner == nil {
		return
	}
	if l.t.Failed() {
		l.showLogs()
	}
	for _, h := range l.hosts {
		h.close()
	}
	if err := destroy(l.id); err != nil {
		l.t.Logf("lab %s: %v", l.id, err)
	}
	l.spawner.stop()
	_ = l.owner.Close()
	l.owner = nil
}

// showLogs prints the last lines of each log.
func (l *Lab) showLogs() {
	for _, path := range l.logs {
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			continue
		}
		l.t.Logf("%s, last lines:\n%s", filepath.Base(path), lastLines(string(data), logLines))
	}
}

// logLines is how much of a log a failed test shows: enough for a daemon's
// last words, little enough to read for ten daemons.
const logLines = 40

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(lines) > n {
		lines = append([]string{fmt.Sprintf("(%d lines more)", len(lines)-n)}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}
