package agent

import (
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

func TestExportsSayWhatPeersAreTold(t *testing.T) {
	p := netip.MustParsePrefix("10.65.0.1/32")
	e := newExports()
	if got := e.refusal(p); got != bgp.NotInPool {
		t.Errorf("without pools: %q", got)
	}
	pool := bgp.Pool{Prefix: netip.MustParsePrefix("10.65.0.0/16")}
	e.set([]bgp.Pool{pool})
	if got := e.refusal(p); got != "" {
		t.Errorf("inside a pool: %q", got)
	}
	<-e.changed
	e.set([]bgp.Pool{pool})
	if len(e.changed) != 0 {
		t.Error("the same pools again are told as a change")
	}
	pool.DisableExport = true
	e.set([]bgp.Pool{pool})
	if got := e.refusal(p); got != bgp.ExportDisabled {
		t.Errorf("inside a pool that is not exported: %q", got)
	}
}
