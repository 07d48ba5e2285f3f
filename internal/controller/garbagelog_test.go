package controller

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// TestTellsWhatIsCollected: the log names addresses with their holder, and
// blocks with their node.
func TestTellsWhatIsCollected(t *testing.T) {
	var out bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &out, DisableTime: true, Level: hclog.Debug})
	c := New(Options{Store: store.NewMemory(), Logger: log})
	c.tell(&ipam.Garbage{
		Leaks: []ipam.LeakedHandle{{ID: "default/vms/a/eth0",
			Owner:    endpoint("a"),
			Releases: []ipam.Release{{Address: netip.MustParseAddr("192.0.2.1")}, {Address: netip.MustParseAddr("2001:db8::1")}}}},
		Dead:  []ipam.HostBlock{{Node: "host7", CIDR: netip.MustParsePrefix("192.0.2.64/26")}},
		Empty: []ipam.HostBlock{{Node: "host1", CIDR: netip.MustParsePrefix("192.0.2.128/26")}},
	})
	for _, want := range []string{
		`collecting leaked addresses: handle=default/vms/a/eth0 owner="endpoint default/vms/a/eth0" addresses="192.0.2.1 2001:db8::1"`,
		"collecting a block of a dead node: node=host7 prefix=192.0.2.64/26",
		"collecting an empty block: node=host1 prefix=192.0.2.128/26",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%swanted %s", out.String(), want)
		}
	}
}
