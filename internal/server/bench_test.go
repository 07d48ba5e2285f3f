package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// The benchmarks measure side by side in one run: each round gives every method
// its turn, and medians over the rounds are reported. The floor of a method is
// bare transactions of the same size. Run them with -benchtime=3x or more.

// measured is what the rounds of a method have given.
type measured struct {
	rates []float64 // calls a second
	each  []time.Duration
	txns  []float64 // per call
}

// results are by method.
type results map[string]*measured

func (r results) add(name string, each []time.Duration, all time.Duration, txns int64) {
	if r[name] == nil {
		r[name] = &measured{}
	}
	m := r[name]
	m.rates = append(m.rates, float64(len(each))/all.Seconds())
	m.each = append(m.each, each...)
	m.txns = append(m.txns, float64(txns)/float64(len(each)))
}

// report states the figures of each method, and its rate beside that of its
// floor, which had its turn just before: what else the machine did then and
// later counts less in the ratios of rounds than in that of medians.
func (r results) report(b *testing.B) {
	b.ReportMetric(0, "ns/op") // a round mixes what must not be added up
	for _, name := range slices.Sorted(maps.Keys(r)) {
		m := r[name]
		slices.Sort(m.each)
		b.ReportMetric(middle(m.rates), name+"/s")
		b.ReportMetric(milliseconds(m.each[len(m.each)/2]), name+"-p50-ms")
		b.ReportMetric(milliseconds(m.each[len(m.each)*99/100]), name+"-p99-ms")
		if floor := r[name+"-floor"]; floor != nil {
			b.ReportMetric(middle(m.txns), name+"-txn")
			ratios := make([]float64, len(m.rates))
			for i := range ratios {
				ratios[i] = m.rates[i] / floor.rates[i]
			}
			b.ReportMetric(middle(ratios), name+"/floor")
		}
	}
}

func middle(of []float64) float64 { return slices.Sorted(slices.Values(of))[len(of)/2] }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkAddresses measures how fast addresses are given out, by the
// allocator alone and through the API with the endpoint, on an etcd that waits
// for its disk.
func BenchmarkAddresses(b *testing.B) {
	for _, c := range []struct {
		name    string
		present int // addresses in use
		daemons int
		crowd   crowd
	}{
		{"one-host", 0, 1, crowd{1, 500, 1}},
		{"one-host-100-at-once", 0, 1, crowd{1, 1000, 100}},
		{"100-hosts-at-once", 0, 100, crowd{100, 20, 1}},
		{"among-10000", 10_000, 1, crowd{1, 500, 1}},
		{"among-100000", 100_000, 1, crowd{1, 500, 1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newBenchRig(b, c.daemons)
			defer r.close()
			r.fill(c.present)
			var methods []method
			for _, m := range []method{byPackage(), byAPI()} {
				methods = append(methods, r.floor(m, 32), m)
			}
			out := make(results)
			for round := 0; b.Loop(); round++ {
				for _, m := range methods {
					node := fmt.Sprintf("r%d-%s", round, m.name)
					warm := crowd{c.crowd.nodes, 1, 1} // has its first block then
					if _, _, err := r.run(m, node, warm, 0); err != nil {
						b.Fatal(err)
					}
					before := r.txns()
					each, all, err := r.run(m, node, c.crowd, 1)
					if err != nil {
						b.Fatal(err)
					}
					out.add(m.name, each, all, r.txns()-before)
				}
			}
			out.report(b)
		})
	}
}

// BenchmarkFirstAddresses has a thousand hosts that have nothing ask for their
// first address at once, through fifty daemons.
func BenchmarkFirstAddresses(b *testing.B) {
	out := make(results)
	for round := 0; b.Loop(); round++ {
		for _, of := range []method{byPackage(), byAPI()} {
			for _, bare := range []bool{true, false} { // each with an empty etcd
				r := newBenchRig(b, 50)
				m := of
				if bare {
					m = r.floor(of, 1)
				}
				before := r.txns()
				each, all, err := r.run(m, "first", crowd{1000, 1, 1}, 0)
				if err != nil {
					b.Fatal(err)
				}
				out.add(m.name, each, all, r.txns()-before)
				r.close()
			}
		}
	}
	out.report(b)
}

// BenchmarkHundredAddresses takes a hundred addresses for one host in one call,
// from two blocks that it must claim first.
func BenchmarkHundredAddresses(b *testing.B) {
	hundred := []method{
		{"ipam", func(ctx context.Context, d *benchDaemon, node string, i int) error {
			node = fmt.Sprintf("%s-%d", node, i)
			_, err := d.ipam.Allocate(ctx, ipam.Request{Node: node, Handle: node, Owner: external(), IPv4: 100})
			return err
		}},
		{"api", func(ctx context.Context, d *benchDaemon, node string, i int) error {
			node = strings.ReplaceAll(fmt.Sprintf("%s-%d", node, i), "/", "-")
			_, err := d.addresses.Allocate(ctx, &vrouterv1.AllocateRequest{Node: node, Handle: node, Ipv4: 100})
			return err
		}},
	}
	r := newBenchRig(b, 1)
	defer r.close()
	out := make(results)
	var methods []method
	for _, m := range hundred {
		methods = append(methods, r.floor(m, 2), m)
	}
	for round := 0; b.Loop(); round++ {
		for _, m := range methods {
			before := r.txns()
			each, all, err := r.run(m, fmt.Sprintf("r%d-%s", round, m.name), crowd{1, 200, 1}, 0)
			if err != nil {
				b.Fatal(err)
			}
			out.add(m.name, each, all, r.txns()-before)
		}
	}
	out.report(b)
}
