package iptables

import (
	"strconv"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// Everything of ours begins with these. A chain has at most 28 characters, a
// set 31.
const (
	chainPrefix = "vr-"
	setPrefix   = "vr"
)

// Chains that are there once in a table, besides one named as the kernel's
// that jumps to it. An -in chain looks at the interface that packets came in
// by, an -out chain at the one that they leave by.
const (
	allowChain      = "vr-allow"   // sets the bits and returns to who asked
	passChain       = "vr-pass"    //
	stagedChain     = "vr-staged"  //
	serviceChain    = "vr-service" //
	servicesChain   = "vr-host-services"
	toHostChain     = "vr-to-host"     // what workloads may do to their host
	fromTree        = "vr-from"        // to pipelines of egress of workloads
	toTree          = "vr-to"          // to pipelines of ingress of workloads
	unknownInChain  = "vr-unknown-in"  // named like a workload's interface
	unknownOutChain = "vr-unknown-out" //
	dropInChain     = "vr-unknown-from"
	dropOutChain    = "vr-unknown-to"
	encapChain      = "vr-encapsulated" // tunnels that workloads would make
	protectedChain  = "vr-protected"
	tunnelChain     = "vr-tunnels" // they end here for nodes only
	sourceChain     = "vr-source-check"
	spoofedChain    = "vr-spoofed"
	hostInChain     = "vr-host-in" // what host endpoints let in, and out
	hostOutChain    = "vr-host-out"
	notrackChain    = "vr-notrack"
)

// policyChain is the chain of a policy's rules in one direction.
func policyChain(id resource.ID, d policy.Direction) string {
	if d == policy.Ingress {
		return "vr-pi-" + hash(id.String(), 16)
	}
	return "vr-po-" + hash(id.String(), 16)
}

// policyChainLength is that of the name of a policy's chain; chains that
// belong to it have names that begin with it.
const policyChainLength = len("vr-pi-") + 16

// pipelineChain decides, tierChain is a part of it that can be left early.
func pipelineChain(id string) string { return "vr-pl-" + hash(id, 16) }
func tierChain(pipeline string, n int) string {
	return pipelineChain(pipeline) + "-" + strconv.Itoa(n)
}

// A set's name says its family, the kind of its members and its ID. A set that
// is to take the place of another has the kind in upper case for that time.
func setName(f *family, kind byte, id policy.SetID) string {
	return setPrefix + string(f.digit) + string(kind) + string(id)
}

// The kinds as letters: a set with another kind of members is another set.
const (
	addressesLetter = 'a'
	networksLetter  = 'n'
	portsLetter     = 'p'
	listLetter      = 'l' // networks that a rule says itself
)

func kindLetter(kind policy.SetKind) byte {
	switch kind {
	case policy.Networks:
		return networksLetter
	case policy.Ports:
		return portsLetter
	}
	return addressesLetter
}

func temporary(set string) string {
	return set[:3] + strings.ToUpper(set[3:4]) + set[4:]
}

// isOurs tells whether a set is one of ours.
func isOurs(set string) bool {
	return len(set) > 4 && strings.HasPrefix(set, setPrefix) && (set[2] == '4' || set[2] == '6') &&
		strings.IndexByte("anplANPL", set[3]) >= 0
}
