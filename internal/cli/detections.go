package cli

import vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"

// writeDetections says how a node found its addresses, and in the wide form
// what it considered.
func (a *app) writeDetections(all []*vrouterv1.AddressDetection, wide bool) error {
	for _, d := range all {
		if d.GetAddress() == "" && !wide {
			continue // most hosts have but one family
		}
		a.line("")
		if d.GetAddress() == "" {
			a.line("no %s address was detected by %s: %s", d.GetFamily(), d.GetMethod(), d.GetReason())
		} else {
			a.line("%s address %s was detected by %s: %s", d.GetFamily(), d.GetAddress(), d.GetMethod(), d.GetReason())
		}
		if !wide || len(d.GetCandidates()) == 0 {
			continue
		}
		t := a.newTable(wide, "INTERFACE", "ADDRESS", "CHOSEN", flexible+"REASON")
		for _, c := range d.GetCandidates() {
			t.add(c.GetInterface(), c.GetAddress(), yesNo(c.GetChosen()), c.GetReason())
		}
		if err := t.flush(a.Out); err != nil {
			return err
		}
	}
	return nil
}
