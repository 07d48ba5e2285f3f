package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/rtnetlink"
	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// The benchmarks measure side by side in one run: each round gives every
// method its turn, medians are reported, and ratios to the named peer. Run
// them with -benchtime=3x or more.

// rounds holds what each method took in each round.
type rounds map[string][]time.Duration

func (r rounds) add(method string, d time.Duration) { r[method] = append(r[method], d) }

func (r rounds) median(method string) time.Duration {
	d := slices.Sorted(slices.Values(r[method]))
	return d[len(d)/2]
}

// report states the median of each method, and its ratio to that of base.
func (r rounds) report(b *testing.B, base string) {
	b.ReportMetric(0, "ns/op") // a round mixes what must not be added up
	for method := range r {
		b.ReportMetric(float64(r.median(method).Microseconds())/1000, method+"-ms")
		if method != base {
			b.ReportMetric(r.median(method).Seconds()/r.median(base).Seconds(), method+"/"+base)
		}
	}
}

// fibRoutes counts the IPv4 prefixes in the kernel of a host, as the kernel
// keeps count itself: that costs nothing, however many there are.
func fibRoutes(b *testing.B, h *lab.Host) int {
	b.Helper()
	var data []byte
	err := h.Do(func() (err error) {
		data, err = os.ReadFile("/proc/thread-self/net/fib_triestat")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	_, main, _ := strings.Cut(string(data), "Main:")
	for line := range strings.Lines(main) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "Prefixes:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("no main table in fib_triestat:\n%s", data)
	return 0
}

// untilRoutes runs start and returns how long it takes until the host has
// more routes than before by n, counted from the first hundredth of them: setting up
// sessions is not what is measured.
func untilRoutes(b *testing.B, h *lab.Host, n int, start func()) time.Duration {
	b.Helper()
	before := fibRoutes(b, h)
	start()
	var first time.Time
	lab.Eventually(b, 5*time.Minute, fmt.Sprintf("%s has %d routes more", h.Name(), n), func() error {
		have := fibRoutes(b, h) - before
		if have > n/100 && first.IsZero() {
			first = time.Now()
		}
		if have < n {
			return fmt.Errorf("%d so far", have)
		}
		return nil
	})
	return time.Since(first)
}

// BenchmarkLearn measures whole daemons from the first learned route to the
// last in the kernel: vrouterd, BIRD and FRR, fed in turn with the same bytes.
func BenchmarkLearn(b *testing.B) {
	needDaemonsB(b)
	for _, n := range []int{10_000, 100_000} {
		for _, nextHops := range []int{1, 1000} {
			b.Run(fmt.Sprintf("routes=%d/nexthops=%d", n, nextHops), func(b *testing.B) {
				r := make(rounds)
				for b.Loop() {
					learnRound(b, r, n, nextHops)
				}
				r.report(b, "bird")
			})
		}
	}
}

func learnRound(b *testing.B, r rounds, n, nextHops int) {
	learners := map[string]func(h *lab.Host){
		"bird": func(h *lab.Host) { h.BIRD(birdLearner) },
		"frr":  func(h *lab.Host) { h.FRR(frrLearner) },
		"vrouterd": func(h *lab.Host) {
			d := fabric.New(b, h, fabric.Settings{IPv4: learnerAddress + "/16", Quiet: true})
			d.WaitReady()
			d.Apply(learnerManifest)
		},
	}
	for _, name := range slices.Sorted(maps.Keys(learners)) {
		l := lab.New(b, "learn")
		feeder, h := l.Host("feeder"), l.Host("learner")
		l.Link(feeder.Port("eth0", feederAddress+"/16"), h.Port("eth0", learnerAddress+"/16"))
		f := startFeeder(b, feeder, feederRoutes(b, n, nextHops))
		r.add(name, untilRoutes(b, h, n, func() { learners[name](h) }))
		f.stop()
		l.Close()
	}
}

// Addresses of feeder and learner. The next hops lie in the second half of
// their segment.
const (
	feederAddress  = "10.0.100.1"
	learnerAddress = "10.0.100.2"
)

const learnerManifest = learnerPool + `
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: feeder}
spec: {peerIP: ` + feederAddress + `, asNumber: 64512}
`

// feederConfig is a BIRD that tells n routes over that many next hops, all on
// the segment, over iBGP.
func feederConfig(n, nextHops int) string {
	var config strings.Builder
	fmt.Fprintf(&config, `
router id %s;
protocol device { scan time 60; }
protocol direct { ipv4; }
protocol bgp learner {
  local %s as 64512; neighbor %s as 64512; direct; passive;
  ipv4 { import none; next hop keep; export where source = RTS_STATIC; };
}
protocol static {
  ipv4;
`, feederAddress, feederAddress, learnerAddress)
	for i := range n {
		fmt.Fprintf(&config, "  route %s/32 via %s;\n", benchAddress(i), benchNextHop(i%nextHops))
	}
	config.WriteString("}\n")
	return config.String()
}

const birdLearner = `
router id ` + learnerAddress + `;
protocol device { scan time 60; }
protocol direct { ipv4; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; scan time 300; }
protocol bgp feeder {
  local ` + learnerAddress + ` as 64512; neighbor ` + feederAddress + ` as 64512; direct;
  connect delay time 1; connect retry time 1;
  ipv4 { import all; export none; };
}
`

const frrLearner = `
frr defaults datacenter
router bgp 64512
 bgp router-id ` + learnerAddress + `
 neighbor ` + feederAddress + ` remote-as 64512
 neighbor ` + feederAddress + ` timers connect 1
`

// BenchmarkInstall measures the kernel's routes alone: the same routes are
// ready in memory, and are put into the kernel by BIRD's kernel protocol, by
// ip -batch and by our table with next-hop groups. (FRR's zebra has no way to
// be told routes at once but bgpd, see BenchmarkLearn.)
func BenchmarkInstall(b *testing.B) {
	needDaemonsB(b)
	for _, n := range []int{10_000, 100_000} {
		for _, nextHops := range []int{1, 1000} {
			b.Run(fmt.Sprintf("routes=%d/nexthops=%d", n, nextHops), func(b *testing.B) {
				r := make(rounds)
				for b.Loop() {
					installRound(b, r, n, nextHops)
				}
				r.report(b, "bird")
			})
		}
	}
}

func installRound(b *testing.B, r rounds, n, nextHops int) {
	ready := map[string]func(h *lab.Host) func(){
		"bird": func(h *lab.Host) func() {
			bird := h.BIRD(feederConfig(n, nextHops) + `
protocol kernel target { disabled; scan time 300; ipv4 { import none; export where source = RTS_STATIC; }; }
`)
			return func() {
				if out, err := bird.Birdc(b.Context(), "enable", "target"); err != nil {
					b.Fatalf("birdc enable: %v\n%s", err, out)
				}
			}
		},
		"ip-batch": func(h *lab.Host) func() {
			var batch strings.Builder
			for i := range n {
				fmt.Fprintf(&batch, "route add %s via %s dev eth0 metric 118\n", benchAddress(i), benchNextHop(i%nextHops))
			}
			path := h.Lab().File("batch", batch.String())
			return func() { h.MustRun("ip", "-batch", path) }
		},
		"table": func(h *lab.Host) func() {
			kernel, table := openTable(b, h)
			b.Cleanup(func() { kernel.Close() })
			return func() { fillTable(b, table, n, nextHops) }
		},
	}
	for _, name := range slices.Sorted(maps.Keys(ready)) {
		l := lab.New(b, "install")
		h, other := l.Host("h"), l.Host("other")
		l.Link(h.Port("eth0", feederAddress+"/16"), other.Port("eth0", learnerAddress+"/16"))
		start := ready[name](h)
		began := time.Now()
		untilRoutes(b, h, n, start)
		r.add(name, time.Since(began))
		l.Close()
	}
}

// openTable returns a table over the kernel of a host that has read it.
func openTable(b *testing.B, h *lab.Host) (*rtnetlink.Kernel, *fib.Table) {
	b.Helper()
	ns := int(h.NetNS())
	kernel, err := rtnetlink.New(rtnetlink.Options{Netns: &ns})
	if err != nil {
		b.Fatal(err)
	}
	table := fib.New(kernel, fib.Options{ReadBack: -1})
	ctx, cancel := context.WithCancel(b.Context())
	var g errgroup.Group
	g.Go(func() error { return table.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			b.Error(err)
		}
	})
	<-table.Ready()
	return kernel, table
}

func fillTable(b *testing.B, table *fib.Table, n, nextHops int) {
	b.Helper()
	for i := range nextHops {
		hop := fib.NextHop{Gateway: benchNextHop(i), Interface: "eth0"}
		table.SetGroup(fib.GroupKey(hop.Gateway.String()), []fib.NextHop{hop})
	}
	for i := range n {
		a := benchAddress(i)
		table.Put(fib.BGP, netip.PrefixFrom(a, 32), fib.Route{Group: fib.GroupKey(benchNextHop(i % nextHops).String())})
	}
}

// benchNextHop is the i-th next hop, in the second half of the segment.
func benchNextHop(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, 128 + byte(i>>8), byte(i)})
}

// benchAddress is the i-th address of 10.64.0.0/12.
func benchAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 64 + byte(i>>16), byte(i >> 8), byte(i)})
}

// BenchmarkRegister measures from the call of Register on one host to the
// route in the kernel of another, with many endpoints there already; and what
// the other's daemon costs when nothing happens. Each endpoint that is measured
// has an interface of its own, and so has one of the other host: both enforce
// the policies, and keep the addresses that these name. Those that are there
// already share one, since a kernel takes minutes to make so many.
func BenchmarkRegister(b *testing.B) {
	needDaemonsB(b)
	for _, c := range []struct{ present, policies int }{{100, 0}, {10_000, 0}, {10_000, 100}} {
		b.Run(fmt.Sprintf("present=%d/policies=%d", c.present, c.policies), func(b *testing.B) {
			s := fabric.NewSegment(b, "register", 1)
			h1, h2 := s.Daemon("h1", fabric.Settings{Quiet: true}), s.Daemon("h2", fabric.Settings{Quiet: true})
			h1.WaitReady()
			h1.Apply(learnerPool + benchPolicies(c.policies))
			h1.WaitEstablished(2)
			h1.Host.Workload("w", "cali-shared", "10.79.255.255")
			other := h2.Host.Workload("other", "caliother", "10.79.255.254")
			if _, err := h1.Endpoint.Register(b.Context(), withBits(fabric.Request("h2", other.Name(), "caliother", "10.79.255.254"), 0)); err != nil {
				b.Fatal(err)
			}
			before := fibRoutes(b, h2.Host)
			fill(b, h1, c.present)
			lab.Eventually(b, 5*time.Minute, "h2 has all routes", func() error {
				if have := fibRoutes(b, h2.Host) - before; have < c.present {
					return fmt.Errorf("%d so far", have)
				}
				return nil
			})
			var took []time.Duration
			for i := c.present; b.Loop(); i++ {
				name := fmt.Sprintf("cali%d", i)
				h1.MustRun("ip", "link", "add", name, "up", "type", "veth", "peer", "name", fmt.Sprintf("w%d", i))
				took = append(took, registerOnce(b, h1, h2.Host, benchRequest(i, name)))
			}
			slices.Sort(took)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(millis(took[len(took)/2]), "p50-ms")
			b.ReportMetric(millis(took[len(took)*99/100]), "p99-ms")
			b.ReportMetric(float64(residentKiB(b, h2.Process().Pid))/1024, "MiB-rss")
			b.ReportMetric(100*idleCPU(b, h2.Process().Pid, 10*time.Second), "%cpu-idle")
		})
	}
}

const learnerPool = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v4}
spec: {cidr: 10.64.0.0/12}
`

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// benchPolicies are n policies that each select half of all endpoints, and let
// through what comes from another half.
func benchPolicies(n int) string {
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, `
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p%d}
spec:
  order: %d
  selector: bit%d == "0"
  ingress:
  - action: Allow
    protocol: TCP
    source: {selector: 'bit%d == "1"'}
    destination: {ports: [%d]}
`, i, i, i%benchBits, (i+1)%benchBits, 1000+i)
	}
	return all.String()
}

// benchBits is how many labels endpoints have that policies ask for.
const benchBits = 4

// withBits gives an endpoint the labels of the i-th.
func withBits(r *vrouterv1.RegisterRequest, i int) *vrouterv1.RegisterRequest {
	r.Labels = make(map[string]string, benchBits)
	for bit := range benchBits {
		r.Labels[fmt.Sprintf("bit%d", bit)] = strconv.Itoa(i >> bit & 1)
	}
	return r
}

// fill registers n endpoints, all behind one interface, from a few callers.
func fill(b *testing.B, d *fabric.Daemon, n int) {
	b.Helper()
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			_, err := d.Endpoint.Register(b.Context(), benchRequest(i, "cali-shared"))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

func benchRequest(i int, ifname string) *vrouterv1.RegisterRequest {
	r := fabric.Request("h1", fmt.Sprintf("e%d", i), ifname, benchAddress(i).String())
	r.Wait = vrouterv1.Stage_STAGE_UNSPECIFIED
	return withBits(r, i)
}

// registerOnce registers an endpoint on h1 and returns when h2 has its route.
func registerOnce(b *testing.B, h1 *fabric.Daemon, h2 *lab.Host, r *vrouterv1.RegisterRequest) time.Duration {
	b.Helper()
	updates := make(chan netlink.RouteUpdate, 64)
	done := make(chan struct{})
	defer close(done)
	ns := h2.NetNS()
	if err := netlink.RouteSubscribeAt(ns, updates, done); err != nil {
		b.Fatal(err)
	}
	prefix := r.GetIpNetworks()[0]
	start := time.Now()
	if _, err := h1.Endpoint.Register(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	limit := time.NewTimer(fabric.Limit)
	defer limit.Stop()
	for {
		select {
		case <-limit.C:
			b.Fatalf("no route to %s on %s", prefix, h2.Name())
		case u := <-updates:
			if u.Dst != nil && u.Dst.String() == prefix {
				return time.Since(start)
			}
		}
	}
}

// residentKiB is the resident memory of a process.
func residentKiB(b *testing.B, pid int) int {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// idleCPU is the share of a core that a process uses over some time.
func idleCPU(b *testing.B, pid int, over time.Duration) float64 {
	b.Helper()
	const ticksPerSecond = 100 // USER_HZ, the same on every Linux
	ticks := func() int {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		user, errUser := strconv.Atoi(fields[11]) // utime, field 14 of proc(5)
		system, errSystem := strconv.Atoi(fields[12])
		if err := errors.Join(errUser, errSystem); err != nil {
			b.Fatal(err)
		}
		return user + system
	}
	before := ticks()
	time.Sleep(over)
	return float64(ticks()-before) / ticksPerSecond / over.Seconds()
}

func needDaemonsB(b *testing.B) {
	testenv.Need(b, "root", "program:ip", "program:etcd", "program:bird", "program:zebra", "program:bgpd")
}
