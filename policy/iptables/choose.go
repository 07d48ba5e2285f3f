package iptables

import (
	"context"
	"errors"
)

// choose returns the tools of the flavour that is asked for, and those of the
// other if it is installed.
func choose(ctx context.Context, flavour Flavour, netns namespace) (own, other *tools, err error) {
	nft, errNFT := newTools(NFT, netns)
	legacy, errLegacy := newTools(Legacy, netns)
	switch {
	case errNFT != nil && errLegacy != nil:
		return nil, nil, errors.Join(errNFT, errLegacy)
	case flavour == NFT:
		return nft, legacy, errNFT
	case flavour == Legacy:
		return legacy, nft, errLegacy
	case errNFT != nil:
		return legacy, nil, nil
	case errLegacy != nil:
		return nft, nil, nil
	}
	inNFT, errNFT := nft.others(ctx)
	inLegacy, errLegacy := legacy.others(ctx)
	switch {
	case errNFT != nil && errLegacy != nil:
		return nil, nil, errors.Join(errNFT, errLegacy)
	case errNFT != nil || errLegacy == nil && inLegacy > inNFT:
		return legacy, nft, nil
	}
	return nft, legacy, nil
}

// others counts the rules of others.
func (t *tools) others(ctx context.Context) (int, error) {
	n := 0
	for _, f := range t.families {
		all, err := t.read(ctx, f)
		if err != nil {
			return 0, err
		}
		for _, h := range all {
			n += h.others
		}
	}
	return n, nil
}

// clean takes out all chains of ours.
func (t *tools) clean(ctx context.Context) error {
	var errs []error
	for _, f := range t.families {
		all, err := t.read(ctx, f)
		errs = append(errs, err)
		for name, h := range all {
			errs = append(errs, t.restore(ctx, h.compare(place{f, name}, nil, true)))
		}
	}
	return errors.Join(errs...)
}
