// Package resource holds the stored nouns in two forms. The raw form is the
// API's (proto/vrouter/v1): it is what is stored and served. The checked form
// is plain Go with real types (netip.Prefix, parsed selectors): it is what the
// engines use. One conversion, raw to checked, serves validation at the API
// and decoding from the store, so that nothing can be stored that the engines
// would read otherwise.
//
// It also reads manifests (YAML or JSON, vrouter's and Calico's) strictly into
// the raw form, and renders them. Every problem is reported with its path. It
// does no I/O, and knows no engine.
package resource
