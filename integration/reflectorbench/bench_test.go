package reflectorbench_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/reflectorbench"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// floorCommand makes the test binary the floor, as it makes the program.
const floorCommand = "floor"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == floorCommand {
		if err := serveFloor(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveFloor(address string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "179"))
	if err != nil {
		return err
	}
	return reflectorbench.Floor(context.Background(), l)
}

// small is a run that takes seconds: five clients with twenty routes each.
func small(t *testing.T, targets ...string) reflectorbench.Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := reflectorbench.Select(reflectorbench.Targets(self, floorCommand), targets)
	if err != nil {
		t.Fatal(err)
	}
	return reflectorbench.Options{
		Plan: reflectorbench.Plan{Clients: 5, Routes: 20}, Targets: chosen,
		Scenarios: reflectorbench.Scenarios(), Rounds: 1, Rate: 200, Duration: 500 * time.Millisecond, Excess: 10_000,
		Timeout: time.Minute, Logf: t.Logf,
	}
}

func TestFloorAndBIRD(t *testing.T) {
	testenv.Need(t, "root", "program:ip", "program:bird", "program:birdc")
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6=%t", ipv6), func(t *testing.T) {
			t.Parallel()
			o := small(t, "floor", "bird")
			o.IPv6 = ipv6
			requireAll(t, o)
		})
	}
}

func TestFRR(t *testing.T) {
	testenv.Need(t, "root", "program:ip", "program:bgpd")
	t.Parallel()
	// FRR may keep a connection of who flaps as half of a collision until its
	// hold time has passed, and refuses that client until then.
	const collision = "sent notification 6/7"
	for range 2 {
		results := measure(t, small(t, "frr"))
		if !slices.ContainsFunc(results, func(r reflectorbench.Result) bool { return strings.Contains(r.Error, collision) }) {
			requireMetrics(t, results)
			return
		}
		t.Logf("FRR took who flaps for a collision; measured again")
	}
	requireMetrics(t, measure(t, small(t, "frr")))
}

func TestGoBGP(t *testing.T) {
	testenv.Need(t, "root", "program:ip", "program:gobgpd")
	t.Parallel()
	requireAll(t, small(t, "gobgp"))
}

func TestVrouter(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	t.Parallel()
	requireAll(t, small(t, "vrouter"))
}

// requireAll runs all scenarios; each must give its metrics.
func requireAll(t *testing.T, o reflectorbench.Options) {
	t.Helper()
	requireMetrics(t, measure(t, o))
}

// measure runs all scenarios.
func measure(t *testing.T, o reflectorbench.Options) []reflectorbench.Result {
	t.Helper()
	results, err := reflectorbench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(o.Targets) * len(reflectorbench.Scenarios()); len(results) != want {
		t.Errorf("%d results, want %d", len(results), want)
	}
	return results
}

func requireMetrics(t *testing.T, results []reflectorbench.Result) {
	t.Helper()
	for _, r := range results {
		if r.Target == "floor" && strings.Contains(r.Error, "does not look at") {
			continue
		}
		if r.Error != "" || len(r.Metrics) == 0 {
			t.Errorf("%s: %s: %s", r.Target, r.Scenario, r.Error)
		}
	}
}

// TestCopiesAreNoReflection: what the floor passes on must be found wanting
// when it is held to what a reflector does.
func TestCopiesAreNoReflection(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	t.Parallel()
	o := small(t, "floor")
	o.Targets[0].Relaxed = false
	results, err := reflectorbench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 || !strings.Contains(results[0].Error, "ORIGINATOR_ID is") {
		t.Errorf("results %+v, want a route without ORIGINATOR_ID", results)
	}
}

// TestSilentTargetIsGivenUp: a target that takes no session costs its limit,
// and the next one has its turn.
func TestSilentTargetIsGivenUp(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	t.Parallel()
	o := small(t, "floor")
	o.Timeout = 100 * time.Millisecond
	o.Targets[0].Start = func(lab.T, *lab.Host, reflectorbench.Plan) []*lab.Process { return nil }
	results, err := reflectorbench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(reflectorbench.Scenarios()) || !strings.Contains(results[0].Error, "session with the target") {
		t.Errorf("results %+v", results)
	}
}

func TestMissingProgramIsSaid(t *testing.T) {
	o := small(t, "floor")
	o.Targets[0].Programs = []string{"no-such-program"}
	results, err := reflectorbench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(reflectorbench.Scenarios()) || !strings.Contains(results[0].Error, "lacks no-such-program") {
		t.Errorf("results %+v", results)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*reflectorbench.Options){
		"clients: 1":             func(o *reflectorbench.Options) { o.Clients = 1 },
		"routes: 5 clients with": func(o *reflectorbench.Options) { o.Routes = 1 << 24 },
		"rounds: 0":              func(o *reflectorbench.Options) { o.Rounds = 0 },
		"rate: 0":                func(o *reflectorbench.Options) { o.Rate = 0 },
		"targets: there are":     func(o *reflectorbench.Options) { o.Targets = nil },
		`scenario "x" is not`:    func(o *reflectorbench.Options) { o.Scenarios = []string{"x"} },
	} {
		o := small(t, "floor")
		change(&o)
		if _, err := reflectorbench.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := reflectorbench.Select(nil, []string{"x"}); err == nil {
		t.Error("an unknown target is accepted")
	}
}
