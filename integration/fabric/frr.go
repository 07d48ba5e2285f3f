package fabric

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// frrDefaults are those for data centres, which suit a lab's short timers.
const frrDefaults = "frr defaults datacenter\n"

// StartFRR starts an FRR that has all it is to know before it has its first
// session. Config is as in frr.conf, on the defaults for data centres.
//
// The bgpd that loses the race at the start finds zebra ten seconds later. A
// session older than that knows no interface: FRR would name itself as next hop
// on a shared network, and refuse IPv6 routes with a link-local next hop.
func StartFRR(t lab.T, h *lab.Host, config string) *lab.FRR {
	t.Helper()
	f := h.FRR(frrDefaults)
	lab.Eventually(t, Limit, "bgpd of "+h.Name()+" has found zebra", func() error {
		out, err := f.Vtysh(t.Context(), "show zebra client summary")
		if err == nil && !strings.Contains(out, "\nbgp ") {
			err = fmt.Errorf("not among its clients: %s", out)
		}
		return err
	})
	h.Lab().File(filepath.Join(h.Name(), "frr", "frr.conf"), frrDefaults+config) // for the next start
	lines := strings.Split(strings.TrimSuffix(config, "\n"), "\n")
	if out, err := f.Vtysh(t.Context(), append([]string{"configure"}, lines...)...); err != nil {
		t.Fatalf("host %s: configure FRR: %v\n%s", h.Name(), err, out)
	}
	return f
}
