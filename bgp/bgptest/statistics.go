package bgptest

import "github.com/projectvrouter/vrouter/bgp"

// Statistics implements bgp.Speaker. A Fake has no groups.
func (f *Fake) Statistics() bgp.Statistics {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	prefixes, paths := 0, 0
	var last bgp.Entry
	for _, e := range f.rib.Entries(bgp.Query{}, f.own, f.export(), f.accept()) {
		if e.Prefix != last.Prefix {
			prefixes++
		}
		if !e.Own {
			paths++
		}
		last = e
	}
	return bgp.Statistics{Table: bgp.TableState{Routes: prefixes, Paths: paths, Own: len(f.own)}}
}
