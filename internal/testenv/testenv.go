// Package testenv says what a test needs of its machine. A test that needs
// something the machine lacks is skipped with the name of what is missing;
// where VROUTER_TEST_REQUIRE names that thing (a comma-separated list, or
// "all"), the test fails instead, so that a continuous-integration run cannot
// pass by skipping.
package testenv

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Need skips or fails t unless the machine has every one of things:
//
//	root             effective user id 0
//	program:NAME     an executable NAME in PATH or a system directory
//	file:PATH        an existing file, for kernel features that show as one
//	kernel:6.9       Linux of this version or a later one, for those that do not
func Need(t testing.TB, things ...string) {
	t.Helper()
	for _, thing := range things {
		if has(thing) {
			continue
		}
		if required(thing) {
			t.Fatalf("this machine lacks %s, which VROUTER_TEST_REQUIRE demands", thing)
		}
		t.Skipf("this machine lacks %s", thing)
	}
}

// Program returns the path of an executable, looking also where Debian puts
// daemons; empty when there is none. FRR's come first: OpenBGPD's, which stands
// in PATH, has the name of one of them.
func Program(name string) string {
	for _, path := range []string{"/usr/lib/frr/" + name, name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	return ""
}

func has(thing string) bool {
	kind, arg, _ := strings.Cut(thing, ":")
	switch kind {
	case "root":
		return os.Geteuid() == 0
	case "program":
		return Program(arg) != ""
	case "file":
		_, err := os.Stat(arg)
		return err == nil
	case "kernel":
		return !older(kernel(), arg)
	}
	return false
}

// kernel is the version of the one that runs, such as 6.18.44.
func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return string(release)
}

// older compares the first two numbers of versions.
func older(a, b string) bool {
	var a1, a2, b1, b2 int
	_, _ = fmt.Sscanf(a, "%d.%d", &a1, &a2)
	_, _ = fmt.Sscanf(b, "%d.%d", &b1, &b2)
	return cmp.Or(cmp.Compare(a1, b1), cmp.Compare(a2, b2)) < 0
}

func required(thing string) bool {
	list := strings.Split(os.Getenv("VROUTER_TEST_REQUIRE"), ",")
	return slices.Contains(list, "all") || slices.Contains(list, thing)
}
