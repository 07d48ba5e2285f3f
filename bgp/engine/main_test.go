package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

const inside = "VROUTER_TEST_NETNS"

// TestMain runs the tests in a network namespace of their own, since the hosts
// of a test need addresses and port 179.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		if err := addAddresses(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	fuzzing := slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz") })
	if os.Geteuid() != 0 || fuzzing { // each test says what it lacks; fuzzers lack nothing
		os.Exit(m.Run())
	}
	c := exec.Command("/proc/self/exe", append(os.Args[1:], "-test.parallel=32")...) // they mostly wait
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// addAddresses gives the loopback interface the addresses of all hosts.
func addAddresses() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	for n := 1; n <= bgptest.Hosts; n++ {
		for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
			a := bgptest.Address(n, f)
			addr, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", a, a.BitLen()))
			if err != nil {
				return err
			}
			addr.Flags = unix.IFA_F_NODAD // an address on trial cannot be bound
			if err := netlink.AddrAdd(lo, addr); err != nil {
				return fmt.Errorf("add address %s: %w", a, err)
			}
		}
	}
	return nil
}

func TestConformance(t *testing.T) {
	testenv.Need(t, "root")
	t.Parallel()
	bgptest.Run(t, func(t testing.TB) bgp.Speaker { return New(testLog(t)) }, nil)
}

func TestWireConformance(t *testing.T) {
	testenv.Need(t, "root")
	t.Parallel()
	bgptest.RunWire(t, func(t testing.TB) bgp.Speaker { return New(testLog(t)) }, nil)
}

func testLog(t testing.TB) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "bgp", Level: hclog.LevelFromString(os.Getenv("VROUTER_TEST_LOG")), Output: os.Stderr})
}

func TestInterop(t *testing.T) {
	bgptest.RunInterop(t, func(t testing.TB) bgp.Speaker { return New(testLog(t)) },
		func(t testing.TB, program string) string {
			testenv.Need(t, "root", "program:"+program)
			return testenv.Program(program)
		})
}
