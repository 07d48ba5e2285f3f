package iptables

import "context"

// Left counts our chains in both flavours, and our ipsets.
func (r Remains) Left(ctx context.Context) (chains, sets int, err error) {
	found := false
	for _, flavour := range []Flavour{NFT, Legacy} {
		t, err := newTools(flavour, r.netns)
		if err != nil {
			continue // not installed: nothing is left in it
		}
		found = true
		for _, f := range t.families {
			all, err := t.read(ctx, f)
			if err != nil {
				return 0, 0, err
			}
			for _, h := range all {
				chains += len(h.chains)
			}
		}
	}
	if !found {
		return 0, 0, nil
	}
	s, err := newIPSets(r.netns)
	if err != nil {
		return chains, 0, err
	}
	defer s.close()
	headers, err := s.headers()
	if err != nil {
		return chains, 0, nil // a kernel without sets has none of ours
	}
	for name := range headers {
		if isOurs(name) {
			sets++
		}
	}
	return chains, sets, nil
}
