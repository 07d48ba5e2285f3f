// Package patch changes JSON trees as RFC 7396 (merge patch) and RFC 6902
// (JSON Patch) say. A tree is what encoding/json decodes into an any:
// map[string]any, []any, string, bool, nil, and a number as json.Number, so
// that no digit is lost on the way.
//
// Both leave the tree that they are given alone and return a new one, which may
// share unchanged parts with it. A JSON Patch is all or nothing (RFC 6902 §5).
// The package knows nothing of resources; it does no I/O.
package patch
