// Package cli is vrouterctl, the operator's command line: one file per command,
// each a thin client of the gRPC API.
//
// It keeps these things true. What is read by programs (-o json, yaml, name,
// the exit codes of `vrouterctl help exit-codes`, one line per object written)
// is stable and has neither colour nor cut text. Every error is a sentence that
// names the flag, the file and document, or the field path at fault. Manifests
// are read whole before the first object is sent, and one refused object does
// not hold up the others.
//
// It decides nothing about the cluster: the server validates, and the client
// only reads manifests into the API's form and renders what comes back. It
// keeps no state between runs and reads no file that is not named on the
// command line or in the environment. Patches are made here (RFC 7396 and
// RFC 6902) and written as a REPLACE of the version that was read.
package cli
