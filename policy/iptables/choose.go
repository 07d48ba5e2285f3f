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
	for _, at := range t.places() {
		h, err := t.read(ctx, at)
		if err != nil {
			return 0, err
		}
		n += h.others
	}
	return n, nil
}

// read reads what a table holds. One that is not loaded holds nothing.
func (t *tools) read(ctx context.Context, at place) (*held, error) {
	loaded, err := t.isLoaded(at)
	if err != nil || !loaded {
		return newHeld(), err
	}
	data, err := t.save(ctx, at)
	if err != nil {
		return nil, err
	}
	return parseSave(data), nil
}

// clean takes out all chains of ours.
func (t *tools) clean(ctx context.Context) error {
	var errs []error
	for _, at := range t.places() {
		h, err := t.read(ctx, at)
		if err == nil {
			err = t.restore(ctx, h.compare(at, nil, true))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
