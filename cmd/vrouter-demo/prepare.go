package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/testenv"
)

// program is one that the demo starts, and the Debian package that has it.
type program struct{ name, pkg string }

var programs = []program{
	{"ip", "iproute2"},
	{"etcd", "etcd-server"},
	{"bird", "bird2"},
	{"birdc", "bird2"},
	{"zebra", "frr"},
	{"bgpd", "frr"},
	{"vtysh", "frr"},
}

// prepare returns the directory of vrouterd and vrouterctl, or what keeps the
// demo from running here.
func prepare() (dir string, err error) {
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("network namespaces need root: run it with sudo")
	}
	if err := missing(programs, testenv.Program); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own directory: %w", err)
	}
	dir = filepath.Dir(self)
	for _, name := range []string{"vrouterd", "vrouterctl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("%s must lie beside vrouter-demo: run make build: %w", name, err)
		}
	}
	return dir, nil
}

// missing names the programs that find does not find, and the packages to
// install. Find returns an empty path for what is not there.
func missing(programs []program, find func(name string) string) error {
	var names, packages []string
	for _, p := range programs {
		if find(p.name) != "" {
			continue
		}
		names = append(names, p.name)
		if !slices.Contains(packages, p.pkg) {
			packages = append(packages, p.pkg)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("this machine lacks %s: on Debian, apt-get install %s",
		strings.Join(names, ", "), strings.Join(packages, " "))
}
