package store

import (
	"errors"
	"fmt"
	"strings"
)

// CheckRead refuses to read more at once than a transaction holds; it is for
// drivers.
func CheckRead(keys, prefixes []string) error {
	if len(keys)+len(prefixes) > MaxOps {
		return fmt.Errorf("%w: %d keys and %d ranges, at most %d", ErrTooLarge, len(keys), len(prefixes), MaxOps)
	}
	return nil
}

// CheckTxn refuses a transaction that is too large or names a key twice; it is
// for drivers.
func CheckTxn(compares []Compare, ops []Op) error {
	if len(compares) > MaxOps || len(ops) > MaxOps {
		return fmt.Errorf("%w: %d compares and %d operations, at most %d each",
			ErrTooLarge, len(compares), len(ops), MaxOps)
	}
	seen := make(map[string]struct{}, len(ops))
	for _, op := range ops {
		if op.Key == "" {
			return errors.New("operation on an empty key")
		}
		if _, ok := seen[op.Key]; ok {
			return fmt.Errorf("key %s in two operations", op.Key)
		}
		seen[op.Key] = struct{}{}
	}
	return nil
}

// CheckWatch refuses watches whose prefixes overlap or are empty; it is for
// drivers.
func CheckWatch(opts WatchOptions) error {
	if len(opts.Prefixes) == 0 {
		return errors.New("watch without a prefix")
	}
	for i, p := range opts.Prefixes {
		for j, q := range opts.Prefixes {
			if p == "" || i != j && strings.HasPrefix(q, p) {
				return fmt.Errorf("watch of %q overlaps or is empty", opts.Prefixes)
			}
		}
	}
	return nil
}
