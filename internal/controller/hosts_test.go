package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// host puts a Node with an address, a list of more, and an interface.
func (b *bench) host(name, label string, addresses ...string) {
	b.t.Helper()
	n := &vrouterv1.Node{
		Metadata: &vrouterv1.Metadata{Name: proto.String(name), Labels: map[string]string{"rack": label}},
		Spec: &vrouterv1.NodeSpec{
			Bgp:        &vrouterv1.NodeBGPSpec{Ipv4Address: proto.String(addresses[0] + "/24")},
			Interfaces: []*vrouterv1.NodeInterface{{Name: proto.String("eth0.7"), Addresses: addresses[:1]}, {Name: proto.String("lo")}},
		},
	}
	for _, a := range addresses {
		n.Spec.Addresses = append(n.Spec.Addresses, &vrouterv1.NodeAddress{Address: proto.String(a)})
	}
	b.put(n)
}

func (b *bench) autoHostEndpoints(auto *vrouterv1.AutoHostEndpoint) {
	b.t.Helper()
	b.put(&vrouterv1.ControllerConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec: &vrouterv1.ControllerConfigurationSpec{Controllers: &vrouterv1.Controllers{Node: &vrouterv1.NodeController{HostEndpoint: auto}}}})
}

func (b *bench) lock(locked bool) {
	b.t.Helper()
	b.put(&vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec: &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(!locked)}})
}

// hostEndpoints waits until what is stored is this, a line each.
func (b *bench) hostEndpoints(what string, want ...string) {
	b.t.Helper()
	b.until(func() (string, bool) {
		page, err := b.store.List(b.t.Context(), store.KindPrefix(string(resource.KindHostEndpoint)), store.ListOptions{Limit: 100})
		if err != nil {
			b.t.Fatal(err)
		}
		var got []string
		for _, kv := range page.KVs {
			_, object, err := decodeObject(resource.KindHostEndpoint, kv)
			if err != nil {
				b.t.Fatal(err)
			}
			h := object.(*resource.HostEndpoint)
			got = append(got, fmt.Sprintf("%s %q %v %v %s/%s", h.Name, h.Interface, h.Expected, h.Profiles, h.Labels["rack"], h.Labels["by"]))
		}
		return what + ":\n" + strings.Join(got, "\n"), slices.Equal(got, want)
	})
}

// TestAutoHostEndpoints: those of the controller follow nodes and settings, and
// those of people stay as they are.
func TestAutoHostEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t, store.NewMemory()}
		b.host("n1", "a", "10.0.0.1", "192.0.2.1")
		b.host("n2", "b", "10.0.0.2")
		people := &vrouterv1.HostEndpoint{Metadata: &vrouterv1.Metadata{Name: proto.String("n2-auto-hep"), Labels: map[string]string{"rack": "mine"}},
			Spec: &vrouterv1.HostEndpointSpec{Node: proto.String("n2"), InterfaceName: proto.String("eth9")}}
		b.put(people)
		const (
			mine   = `n2-auto-hep "eth9" [] [] mine/`
			first  = `n1-auto-hep "*" [10.0.0.1 192.0.2.1] [projectcalico-default-allow] a/`
			nets   = `n1-public-auto-hep "" [192.0.2.1] [projectcalico-default-allow] a/template`
			links1 = `n1-links-eth0.7-auto-hep "eth0.7" [10.0.0.1] [projectcalico-default-allow] a/template`
			links2 = `n2-links-eth0.7-auto-hep "eth0.7" [10.0.0.2] [projectcalico-default-allow] b/template`
		)
		c, stop := b.run("c")
		b.leads(c)
		b.hostEndpoints("not asked for", mine)
		enabled, disabled := proto.String("Enabled"), proto.String("Disabled")
		b.autoHostEndpoints(&vrouterv1.AutoHostEndpoint{AutoCreate: enabled})
		b.hostEndpoints("asked for", first, mine)
		b.until(func() (string, bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return fmt.Sprintf("%+v", c.stats), c.stats.hostEndpoints == 1 && c.stats.hostProblems == 1
		})
		templates := []*vrouterv1.HostEndpointTemplate{
			{GenerateName: proto.String("public"), InterfaceCidrs: []string{"192.0.2.0/24", "2001:db8::/32"}, NodeSelector: proto.String("rack == 'a'"),
				Labels: map[string]string{"by": "template"}},
			{GenerateName: proto.String("links"), InterfacePattern: proto.String("^eth"), Labels: map[string]string{"by": "template"}},
		}
		b.autoHostEndpoints(&vrouterv1.AutoHostEndpoint{AutoCreate: enabled, Templates: templates})
		b.hostEndpoints("templates", first, links1, nets, mine, links2)
		b.autoHostEndpoints(&vrouterv1.AutoHostEndpoint{AutoCreate: enabled, CreateDefaultHostEndpoint: disabled, Templates: templates})
		b.hostEndpoints("no default", links1, nets, mine, links2)
		b.autoHostEndpoints(&vrouterv1.AutoHostEndpoint{AutoCreate: enabled})
		b.hostEndpoints("no templates", first, mine)

		b.host("n1", "z", "10.0.0.9")
		b.hostEndpoints("node changed", `n1-auto-hep "*" [10.0.0.9] [projectcalico-default-allow] z/`, mine)
		b.write(store.Op{Key: hostEndpointKey("n1-auto-hep"), Delete: true})
		b.hostEndpoints("deleted by people", `n1-auto-hep "*" [10.0.0.9] [projectcalico-default-allow] z/`, mine)
		b.lock(true)
		b.write(store.Op{Key: store.ResourceKey("Node", "", "n1"), Delete: true})
		b.host("n3", "c", "10.0.0.3")
		synctest.Wait()
		b.hostEndpoints("locked", `n1-auto-hep "*" [10.0.0.9] [projectcalico-default-allow] z/`, mine)
		b.lock(false)
		third := `n3-auto-hep "*" [10.0.0.3] [projectcalico-default-allow] c/`
		b.hostEndpoints("unlocked, a node gone, another come", mine, third)

		// What is not understood takes nothing away, neither here nor after a restart.
		b.write(store.Op{Key: store.ResourceKey("Node", "", "n3"), Value: []byte("{")})
		b.write(store.Op{Key: store.ResourceKey("ControllerConfiguration", "", "default"), Value: []byte("{")})
		stop()
		c, _ = b.run("d")
		b.leads(c)
		b.host("n4", "d", "10.0.0.4")
		synctest.Wait()
		b.hostEndpoints("not understood", mine, third)
		b.autoHostEndpoints(&vrouterv1.AutoHostEndpoint{AutoCreate: enabled})
		b.hostEndpoints("understood again", mine, third, `n4-auto-hep "*" [10.0.0.4] [projectcalico-default-allow] d/`)
		b.autoHostEndpoints(&vrouterv1.AutoHostEndpoint{AutoCreate: disabled})
		b.hostEndpoints("switched off", mine)
	})
}

// TestBusyNodes: among nodes that change all the time others get theirs.
func TestBusyNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t, store.NewMemory()}
		c, _ := b.run("c")
		b.leads(c)
		b.autoHostEndpoints(&vrouterv1.AutoHostEndpoint{AutoCreate: proto.String("Enabled")})
		b.host("n1", "a", "10.0.0.1")
		for i := range 2 * longestSettle / (settle / 2) {
			b.host("n2", fmt.Sprint(i), "10.0.0.2")
			time.Sleep(settle / 2)
		}
		if _, _, err := b.store.Get(t.Context(), hostEndpointKey("n1-auto-hep")); err != nil {
			t.Errorf("nothing was made for the quiet node: %v", err)
		}
	})
}
