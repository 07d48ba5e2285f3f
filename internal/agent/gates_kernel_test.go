package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/rtnetlink"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/nftables"
)

// flood is datagrams as fast as one sender can, each the first of its
// connection for all that policy knows: none is answered.
type flood struct {
	sent, received atomic.Int64
	ended          atomic.Bool // nothing is sent any more
}

// newFlood sends to a workload from a host until the test ends.
func newFlood(t *testing.T, from *lab.Host, to *lab.Workload) *flood {
	t.Helper()
	f := &flood{}
	var in *net.UDPConn
	err := to.Do(func() (err error) {
		in, err = net.ListenUDP("udp", &net.UDPAddr{IP: to.Addr(true).AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	received, sent := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(received)
		for {
			if _, err := in.Read(make([]byte, 16)); err != nil {
				return
			}
			f.received.Add(1)
		}
	}()
	go func() {
		sent <- from.Do(func() error { return f.send(ctx, in.LocalAddr().(*net.UDPAddr)) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-sent; err != nil {
			t.Error(err)
		}
		in.Close()
		<-received
	})
	return f
}

func (f *flood) send(ctx context.Context, to *net.UDPAddr) error {
	defer f.ended.Store(true)
	out, err := net.DialUDP("udp", nil, to)
	if err != nil {
		return err
	}
	defer out.Close()
	for ctx.Err() == nil {
		_, err := out.Write([]byte("?"))
		if err != nil && !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENETUNREACH) {
			return err
		}
		if f.sent.Add(1)%32 == 0 {
			time.Sleep(100 * time.Microsecond) // there are others on this machine
		}
	}
	return nil
}

// await waits until so many more were sent, or sending has failed.
func (f *flood) await(ctx context.Context, more int64) {
	for until := f.sent.Load() + more; f.sent.Load() < until && !f.ended.Load() && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
}

// reluctant is a kernel that takes its time with routes to workloads that are to
// go, or to lead elsewhere.
type reluctant struct {
	fib.Kernel
	flood *flood
	since *atomic.Bool // whether it is asked to
}

func (k reluctant) Apply(ctx context.Context, changes []fib.Change) []error {
	for _, c := range changes {
		if c.Object == nil && c.Op != fib.Create && k.since.Load() {
			k.flood.await(ctx, 3000)
		}
	}
	return k.Kernel.Apply(ctx, changes)
}

// flooded is a host with two interfaces that no setting says to be workloads',
// where an agent enforces policy, and a flood to the address of the first.
func flooded(t *testing.T) (r *rig, f *flood, slow *atomic.Bool) {
	t.Helper()
	testenv.Need(t, "root")
	l := lab.New(t, "gates")
	host, outside := l.Host("host"), l.Host("outside")
	host.Forward()
	l.Link(host.Port("uplink", "192.0.2.1/24"), outside.Port("eth0", "192.0.2.2/24"))
	outside.AddRoute("10.0.0.0/16", "192.0.2.1")
	workload := host.Workload("w", "w-a", "10.0.0.1")
	host.Workload("other", "w-b", "10.0.0.9")
	host.AddAddr("lo", lab.GatewayIPv4+"/32")
	host.SetSysctl("net/ipv4/conf/w-a/proxy_arp", "1")

	fd := int(host.NetNS())
	kernel, err := rtnetlink.New(rtnetlink.Options{Netns: &fd})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kernel.Close() })
	plane, err := nftables.New(nftables.Options{NetNS: &fd})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plane.Close() })
	r = newRig(t)
	r.real = true
	f, slow = newFlood(t, outside, workload), new(atomic.Bool)
	r.host = reluctant{kernel, f, slow}
	r.put(poolObject("four", "10.0.0.0/16"))
	resolver := policy.NewResolver("host1")
	r.start(func(o *Options) {
		o.Policing = &Policing{
			Resolver: resolver, Table: policy.NewTable(resolver, plane, policy.Options{Logger: o.Logger.Named("policy")}), Dataplane: "nftables",
		}
	})
	t.Cleanup(func() {
		r.end()
		r.store.Close()
	})
	return r, f, slow
}

// TestNoInstantWithoutPolicy floods a workload that nobody may reach while it
// comes, goes, moves to another interface and to another host.
func TestNoInstantWithoutPolicy(t *testing.T) {
	r, f, slow := flooded(t)
	await := func(what, routes string) {
		t.Helper()
		lab.Eventually(t, patience, what, func() error {
			if got := r.routes(); got != routes {
				return fmt.Errorf("the kernel has %q, want %q", got, routes)
			}
			return nil
		})
	}
	line := func(name string) string { return "10.0.0.1/32 dev " + name + " proto 118 metric 118\n" }
	elsewhere := endpointObject("a", "host1", "10.0.0.1/32")
	elsewhere.Spec.InterfaceName = proto.String("w-b")
	for range 4 {
		for what, after := range map[string]func(){
			"":    func() { r.delete(endpointObject("a", "host1")) },
			" ":   func() { r.put(endpointObject("a", "host2", "10.0.0.1/32")) },
			"w-b": func() { r.put(elsewhere) },
		} {
			r.put(endpointObject("a", "host1", "10.0.0.1/32"))
			await("the endpoint is here", line("w-a"))
			f.await(t.Context(), 500)
			slow.Store(true)
			after()
			if what = strings.TrimSpace(what); what != "" {
				what = line(what)
			}
			await("the endpoint is gone", what)
			slow.Store(false)
			r.delete(endpointObject("a", "host1"))
			await("nobody is here", "")
		}
	}
	if leaked := f.received.Load(); leaked > 0 {
		t.Errorf("%d of %d packets passed that nobody allows", leaked, f.sent.Load())
	}
	allowed := endpointObject("a", "host1", "10.0.0.1/32")
	allowed.Spec.Profiles = []string{resource.DefaultAllow}
	r.put(allowed)
	lab.Eventually(t, patience, "the flood comes through where it may", func() error {
		if f.received.Load() == 0 {
			return fmt.Errorf("of %d packets none", f.sent.Load())
		}
		return nil
	})
}
