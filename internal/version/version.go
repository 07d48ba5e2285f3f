// Package version says which build of vrouter a program is. The values are set
// when linking:
//
//	go build -ldflags "-X github.com/projectvrouter/vrouter/internal/version.Version=v1.2.3 \
//	                   -X github.com/projectvrouter/vrouter/internal/version.Commit=0123abcd"
//
// A build without them says what the Go toolchain recorded of the checkout.
package version

import "runtime/debug"

// Version is the release, such as "v1.2.3"; "devel" when none was linked in.
var Version = "devel"

// Commit is the revision of the source; empty when none was linked in.
var Commit = ""

// String renders the version, with the first twelve digits of the commit in
// brackets when it is known: "v1.2.3 (0123abcd4567)".
func String() string {
	commit := Commit
	if commit == "" {
		commit = recorded()
	}
	if commit == "" {
		return Version
	}
	return Version + " (" + commit[:min(len(commit), 12)] + ")"
}

// recorded is the commit that the toolchain stamped into the binary, if any.
func recorded() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
