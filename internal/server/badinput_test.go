package server

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// badInput is a call about addresses that must be refused.
type badInput struct {
	name   string
	call   func(*rig) error
	code   codes.Code
	path   string // of the field, or the object that is in the way
	reason string // is part of what is said of it
}

// TestBadAddressInput: what address management is wrongly asked for is refused
// with the path and the reason, and leaves every key of the store as it was.
func TestBadAddressInput(t *testing.T) {
	r := newRig(t)
	r.busy()
	before := r.everything()
	for _, c := range slices.Concat(badPools(), badSettings(), badHolders(), badCalls()) {
		t.Run(c.name, func(t *testing.T) {
			st := wantCode(t, c.call(r), c.code)
			if !refusedAt(st, c.path, c.reason) {
				t.Errorf("not refused at %s because %q: %v, %v", c.path, c.reason, st.Message(), st.Details())
			}
			if after := r.everything(); !maps.Equal(after, before) {
				t.Error("a refused call has written")
				before = after
			}
		})
	}
	r.consistent()
}

// busy makes what bad input meets: an endpoint, addresses and blocks of others,
// settings.
func (r *rig) busy() {
	r.t.Helper()
	r.register(registration("a", "10.0.0.1"))
	r.register(registration("b"))
	r.settings(&vrouterv1.IPAMConfigurationSpec{ForeignCidrs: []string{"10.96.0.0/12", "fd96::/108"}})
	r.put(&vrouterv1.IPReservation{Metadata: &vrouterv1.Metadata{Name: proto.String("r")},
		Spec: &vrouterv1.IPReservationSpec{ReservedCidrs: []string{"10.0.9.0/24"}}})
	r.assign("10.0.0.9", "lb")
	if _, err := r.addresses.AssignBlock(r.t.Context(), &vrouterv1.AssignBlockRequest{Node: "host2", Cidr: "10.0.7.0/26"}); err != nil {
		r.t.Fatal(err)
	}
}

// assign takes an address for a handle of its own.
func (r *rig) assign(address, handle string) {
	r.t.Helper()
	if _, err := r.addresses.Assign(r.t.Context(), &vrouterv1.AssignRequest{Address: address, Handle: handle}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) settings(spec *vrouterv1.IPAMConfigurationSpec) {
	r.t.Helper()
	r.put(&vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("default")}, Spec: spec})
}

// everything is every key of the store with its value and revision.
func (r *rig) everything() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	if _, err := store.Scan(r.t.Context(), r.store, "", 0, func(kv store.KV) {
		all[kv.Key] = strconv.FormatInt(kv.ModRevision, 10) + " " + string(kv.Value)
	}); err != nil {
		r.t.Fatal(err)
	}
	if len(all) < 10 {
		r.t.Fatalf("only %d keys: the whole store is to be compared", len(all))
	}
	return all
}

// refusedAt tells whether one of the details of a status names the path, with
// the reason.
func refusedAt(st *status.Status, path, reason string) bool {
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.FieldViolations {
				if v.Field == path && strings.Contains(v.Description, reason) {
					return true
				}
			}
		case *errdetails.PreconditionFailure:
			for _, v := range d.Violations {
				if v.Subject == path && strings.Contains(v.Description, reason) {
					return true
				}
			}
		}
	}
	return false
}

func putting(msg proto.Message) func(*rig) error {
	return func(r *rig) error {
		_, err := r.try(apply, msg)
		return err
	}
}

func badPools() []badInput {
	row := func(name, path, reason, cidr string, change func(*vrouterv1.IPPoolSpec)) badInput {
		p := pool("new", cidr)
		if change != nil {
			change(p.Spec)
		}
		return badInput{name, putting(p), codes.InvalidArgument, path, reason}
	}
	size := func(n int32) func(*vrouterv1.IPPoolSpec) {
		return func(s *vrouterv1.IPPoolSpec) { s.BlockSize = &n }
	}
	const free = "172.16.0.0/16"
	bad := []badInput{
		row("block size 0", "spec.blockSize", "0 is not between 20 and 32", free, size(0)),
		row("block size negative", "spec.blockSize", "-1 is not between 20 and 32", free, size(-1)),
		row("block too large", "spec.blockSize", "19 is not between 20 and 32", free, size(19)),
		row("block too small", "spec.blockSize", "33 is not between 20 and 32", free, size(33)),
		row("IPv6 block too large", "spec.blockSize", "115 is not between 116 and 128", "fd01::/64", size(115)),
		row("IPv6 block too small", "spec.blockSize", "129 is not between 116 and 128", "fd01::/64", size(129)),
		row("IPv6 block size of IPv4", "spec.blockSize", "122 is not between 20 and 32", free, size(122)),
		row("block larger than the pool", "spec.blockSize", "does not fit into the pool 172.16.0.0/28", "172.16.0.0/28", size(26)),
		row("IPv6 block larger than the pool", "spec.blockSize", "does not fit into the pool fd01::/124", "fd01::/124", size(122)),
		row("IPv6 with IP-in-IP", "spec.ipipMode", "does not carry IPv6", "fd01::/64",
			func(s *vrouterv1.IPPoolSpec) { s.IpipMode = proto.String("Always") }),
		row("IPv6 with IP-in-IP across subnets", "spec.ipipMode", "does not carry IPv6", "fd01::/64",
			func(s *vrouterv1.IPPoolSpec) { s.IpipMode = proto.String("CrossSubnet") }),
		row("overlap: the same", "spec.cidr", "overlaps 10.0.0.0/16 of IPPool four", "10.0.0.0/16", nil),
		row("overlap: inside", "spec.cidr", "overlaps 10.0.0.0/16 of IPPool four", "10.0.255.0/24", nil),
		row("overlap: around", "spec.cidr", "overlaps 10.0.0.0/16 of IPPool four", "10.0.0.0/15", nil),
		row("overlap: IPv6", "spec.cidr", "overlaps fd00::/64 of IPPool six", "fd00::/48", nil),
		row("overlap: disabled", "spec.cidr", "overlaps 10.0.0.0/16 of IPPool four", "10.0.0.0/24",
			func(s *vrouterv1.IPPoolSpec) { s.Disabled = proto.Bool(true) }),
		row("in a foreign range", "spec.cidr", "overlaps 10.96.0.0/12, which the IPAMConfiguration says is foreign", "10.100.0.0/16", nil),
		row("around a foreign range", "spec.cidr", "overlaps 10.96.0.0/12", "10.64.0.0/10", nil),
		row("in a foreign range of IPv6", "spec.cidr", "overlaps fd96::/108", "fd96::/112", nil),
		row("global() chooses no nodes", "spec.nodeSelector", "global()", free,
			func(s *vrouterv1.IPPoolSpec) { s.NodeSelector = proto.String("global()") }),
		row("global() beside others", "spec.nodeSelector", "global()", free,
			func(s *vrouterv1.IPPoolSpec) { s.NodeSelector = proto.String("rack == 'a' || global()") }),
		row("global() chooses no namespaces", "spec.namespaceSelector", "global()", free,
			func(s *vrouterv1.IPPoolSpec) { s.NamespaceSelector = proto.String("global()") }),
		row("no selector", "spec.nodeSelector", "", free,
			func(s *vrouterv1.IPPoolSpec) { s.NodeSelector = proto.String("rack = a") }),
		row("host bits", "spec.cidr", "the range is 172.16.0.0/24", "172.16.0.1/24", nil),
		row("no cidr", "spec.cidr", "is needed", "", nil),
		row("an address", "spec.cidr", "has no prefix length", "172.16.0.1", nil),
		row("not a cidr", "spec.cidr", "", "172.16.0.0/33", nil),
		row("link-local", "spec.cidr", "link-local", "169.254.1.0/24", nil),
		row("everything", "spec.cidr", "overlaps", "0.0.0.0/0", nil),
		row("unknown use", "spec.allowedUses[1]", `"Pods" is none of`, free,
			func(s *vrouterv1.IPPoolSpec) { s.AllowedUses = []string{"Workload", "Pods"} }),
		row("assignment mode in lower case", "spec.assignmentMode", `"manual" is none of`, free,
			func(s *vrouterv1.IPPoolSpec) { s.AssignmentMode = proto.String("manual") }),
		row("advertise in lower case", "spec.advertise", `"blocks" is none of`, free,
			func(s *vrouterv1.IPPoolSpec) { s.Advertise = proto.String("blocks") }),
	}
	four := func(change func(*vrouterv1.IPPoolSpec)) func(*rig) error {
		p := pool("four", "10.0.0.0/16")
		change(p.Spec)
		return putting(p)
	}
	removing := func(name string) func(*rig) error {
		return func(r *rig) error {
			_, err := r.resources.Delete(r.t.Context(), &vrouterv1.DeleteRequest{Kind: "IPPool", Name: name})
			return err
		}
	}
	return append(bad,
		badInput{"change of the block size", four(size(28)), codes.InvalidArgument, "spec.blockSize", "cannot change (from 26)"},
		badInput{"a pool that grows", four(func(s *vrouterv1.IPPoolSpec) { s.Cidr = proto.String("10.0.0.0/15") }),
			codes.InvalidArgument, "spec.cidr", "cannot change (from 10.0.0.0/16)"},
		badInput{"a pool that shrinks", four(func(s *vrouterv1.IPPoolSpec) { s.Cidr = proto.String("10.0.0.0/17") }),
			codes.InvalidArgument, "spec.cidr", "cannot change (from 10.0.0.0/16)"},
		badInput{"a pool in use goes", removing("four"), codes.FailedPrecondition, "IPPool/four", "3 addresses"},
		badInput{"an IPv6 pool in use goes", removing("six"), codes.FailedPrecondition, "IPPool/six", "addresses"},
	)
}

func badSettings() []badInput {
	row := func(name, path, reason string, spec *vrouterv1.IPAMConfigurationSpec) badInput {
		msg := &vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("default")}, Spec: spec}
		return badInput{name, putting(msg), codes.InvalidArgument, path, reason}
	}
	reserve := func(name, reason, cidr string) badInput {
		return badInput{name, putting(&vrouterv1.IPReservation{Metadata: &vrouterv1.Metadata{Name: proto.String("r")},
			Spec: &vrouterv1.IPReservationSpec{ReservedCidrs: []string{"10.0.9.0/24", cidr}}}),
			codes.InvalidArgument, "spec.reservedCIDRs[1]", reason}
	}
	other := row("another name", "metadata.name", `named "default"`, nil)
	other.call = putting(&vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("mine")}})
	return []badInput{
		other,
		row("limit of blocks without strict affinity", "spec.maxBlocksPerHost", "needs strictAffinity",
			&vrouterv1.IPAMConfigurationSpec{MaxBlocksPerHost: proto.Int32(4)}),
		row("negative limit", "spec.maxBlocksPerHost", "negative",
			&vrouterv1.IPAMConfigurationSpec{StrictAffinity: proto.Bool(true), MaxBlocksPerHost: proto.Int32(-1)}),
		row("neither claimed nor strict", "spec.autoAllocateBlocks", "needs strictAffinity",
			&vrouterv1.IPAMConfigurationSpec{StrictAffinity: proto.Bool(false), AutoAllocateBlocks: proto.Bool(false)}),
		row("cooldown too long", "spec.ipCooldownSeconds", "20m1s is not between 0 and 20m0s",
			&vrouterv1.IPAMConfigurationSpec{IpCooldownSeconds: proto.Int32(1201)}),
		row("cooldown negative", "spec.ipCooldownSeconds", "-1s is not between",
			&vrouterv1.IPAMConfigurationSpec{IpCooldownSeconds: proto.Int32(-1)}),
		row("foreign range over a pool", "spec.foreignCIDRs[1]", "overlaps 10.0.0.0/16 of IPPool four",
			&vrouterv1.IPAMConfigurationSpec{ForeignCidrs: []string{"10.96.0.0/12", "10.0.0.0/8"}}),
		row("foreign address in a pool", "spec.foreignCIDRs[0]", "overlaps fd00::/64 of IPPool six",
			&vrouterv1.IPAMConfigurationSpec{ForeignCidrs: []string{"fd00::1"}}),
		row("foreign range with host bits", "spec.foreignCIDRs[0]", "the range is 192.0.2.0/24",
			&vrouterv1.IPAMConfigurationSpec{ForeignCidrs: []string{"192.0.2.1/24"}}),
		reserve("reservation of a name", "", "gateway"),
		reserve("reservation of nothing", "", ""),
		reserve("reservation of a span", "", "10.0.0.1-10.0.0.9"),
		reserve("reservation with host bits", "the range is 10.0.0.0/24", "10.0.0.1/24"),
	}
}

// badHolders are calls over who holds an address.
func badHolders() []badInput {
	register := func(req *vrouterv1.RegisterRequest) func(*rig) error {
		return func(r *rig) error {
			_, err := r.endpoints.Register(r.t.Context(), req)
			return err
		}
	}
	assign := func(address, handle string) func(*rig) error {
		return func(r *rig) error {
			_, err := r.addresses.Assign(r.t.Context(), &vrouterv1.AssignRequest{Address: address, Handle: handle})
			return err
		}
	}
	release := func(list ...*vrouterv1.AddressRelease) func(*rig) error {
		return func(r *rig) error {
			_, err := r.addresses.Release(r.t.Context(), &vrouterv1.ReleaseRequest{Addresses: list})
			return err
		}
	}
	byHandle := func(handle string) func(*rig) error {
		return func(r *rig) error {
			_, err := r.addresses.ReleaseByHandle(r.t.Context(), &vrouterv1.ReleaseByHandleRequest{Handle: handle})
			return err
		}
	}
	const inUse = "in use by handle default/vms/a/eth0"
	lb := &vrouterv1.AddressRelease{Address: "10.0.0.9"}
	return []badInput{
		{"an address of another endpoint", register(registration("c", "10.0.0.3", "10.0.0.1")), codes.AlreadyExists, "ipNetworks[1]", inUse},
		{"an address of another endpoint, with prefix", register(registration("c", "10.0.0.1/32")), codes.AlreadyExists, "ipNetworks[0]", inUse},
		{"an address of a handle", register(registration("c", "10.0.0.9")), codes.AlreadyExists, "ipNetworks[0]", "in use by handle lb"},
		{"an address twice", register(registration("c", "10.0.0.3", "10.0.0.3")), codes.InvalidArgument, "ipNetworks[1]", "10.0.0.3"},
		{"an address outside all pools", register(registration("c", "192.0.2.1")), codes.InvalidArgument, "ipNetworks[0]", "is in no IPPool"},
		{"an address of no such pool", register(asking("c", &vrouterv1.AddressRequest{Pools: []string{"none"}})), codes.FailedPrecondition,
			"allocate.pools", "none: there is no such pool"},
		{"an IPv4 address of an IPv6 pool", register(asking("c", &vrouterv1.AddressRequest{Ipv4: 1, Pools: []string{"six"}})),
			codes.FailedPrecondition, "allocate.pools", "six"},
		{"an endpoint with a network", register(registration("c", "10.0.0.0/24")), codes.InvalidArgument, "ipNetworks[0]", ""},
		{"another's address by ResourceService", putting((&endpoints{node: "host1"}).endpoint(registration("c", "10.0.0.1"))),
			codes.AlreadyExists, "spec.ipNetworks[0]", inUse},
		{"assigned: an endpoint's", assign("10.0.0.1", "x"), codes.AlreadyExists, "address", inUse},
		{"assigned: mapped into IPv6", assign("::ffff:10.0.0.1", "x"), codes.AlreadyExists, "address", inUse},
		{"assigned: a handle's", assign("10.0.0.9", "x"), codes.AlreadyExists, "address", "in use by handle lb"},
		{"assigned: outside", assign("192.0.2.1", "x"), codes.FailedPrecondition, "address", "in no pool"},
		{"assigned: of another's own block", assign("10.0.7.1", "x"), codes.FailedPrecondition, "address", "assigned to node host2"},
		{"assigned: to an endpoint's handle", assign("10.0.0.3", "default/vms/a/eth0"), codes.AlreadyExists, "handle", "another owner"},
		{"assigned: no address", assign("a", "x"), codes.InvalidArgument, "address", ""},
		{"released with a stale sequence", release(&vrouterv1.AddressRelease{Address: "10.0.0.9", Sequence: 1 << 40}), codes.Aborted,
			"addresses[0].sequence", "held by handle lb"},
		{"released of another handle", release(&vrouterv1.AddressRelease{Address: "10.0.0.9", Handle: "x"}), codes.Aborted,
			"addresses[0].handle", "held by handle lb"},
		{"released: an endpoint's", release(lb, &vrouterv1.AddressRelease{Address: "10.0.0.1"}), codes.FailedPrecondition,
			"addresses[1].address", "held by endpoint default/vms/a/eth0: remove it from the endpoint"},
		{"released: outside", release(lb, &vrouterv1.AddressRelease{Address: "192.0.2.1"}), codes.FailedPrecondition,
			"addresses[1].address", "in no pool"},
		{"released: no address", release(lb, &vrouterv1.AddressRelease{Address: "10.0.0.256"}), codes.InvalidArgument, "addresses[1].address", ""},
		{"released: nothing", release(), codes.InvalidArgument, "addresses", "1 to 24"},
		{"no such handle", byHandle("nobody"), codes.NotFound, "handle", "no such handle"},
		{"no handle", byHandle(""), codes.InvalidArgument, "handle", "is needed"},
		{"an endpoint's handle", byHandle("default/vms/a/eth0"), codes.FailedPrecondition, "handle", "remove that"},
		{"shown: no such handle", func(r *rig) error {
			_, err := r.addresses.Show(r.t.Context(), &vrouterv1.ShowRequest{Handle: "nobody"})
			return err
		}, codes.NotFound, "handle", "no such handle"},
	}
}

// badCalls are the others.
func badCalls() []badInput {
	allocate := func(req *vrouterv1.AllocateRequest) func(*rig) error {
		return func(r *rig) error {
			_, err := r.addresses.Allocate(r.t.Context(), req)
			return err
		}
	}
	block := func(node, cidr string) func(*rig) error {
		return func(r *rig) error {
			_, err := r.addresses.AssignBlock(r.t.Context(), &vrouterv1.AssignBlockRequest{Node: node, Cidr: cidr})
			return err
		}
	}
	releaseBlock := func(node, cidr string) func(*rig) error {
		return func(r *rig) error {
			_, err := r.addresses.ReleaseBlock(r.t.Context(), &vrouterv1.ReleaseBlockRequest{Node: node, Cidr: cidr})
			return err
		}
	}
	split := func(pool string, parts int32) func(*rig) error {
		return func(r *rig) error {
			_, err := r.addresses.SplitPool(r.t.Context(), &vrouterv1.SplitPoolRequest{Pool: pool, Parts: parts})
			return err
		}
	}
	name := &vrouterv1.Metadata{Name: proto.String("10-0-0-0-26")}
	return []badInput{
		{"asked for none", allocate(&vrouterv1.AllocateRequest{Handle: "x"}), codes.InvalidArgument, "ipv4", "neither"},
		{"asked for a negative number", allocate(&vrouterv1.AllocateRequest{Handle: "x", Ipv6: -1}), codes.InvalidArgument, "ipv6", "-1"},
		{"asked for very many", allocate(&vrouterv1.AllocateRequest{Handle: "x", Ipv4: 1 << 30}), codes.InvalidArgument, "ipv4", "not between"},
		{"asked without a handle", allocate(&vrouterv1.AllocateRequest{Ipv4: 1}), codes.InvalidArgument, "handle", "bytes are needed"},
		{"asked with a long handle", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: strings.Repeat("x", 513)}), codes.InvalidArgument,
			"handle", "bytes are needed"},
		{"asked for another use", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: "x", Use: "workload"}), codes.InvalidArgument, "use", "none of"},
		{"asked of no such pool", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: "x", Pools: []string{"none"}}), codes.FailedPrecondition,
			"pools", "no such pool"},
		{"asked for an endpoint's handle", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: "default/vms/a/eth0"}), codes.AlreadyExists,
			"handle", "another owner"},
		{"asked with very long attributes", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: "x",
			Attributes: map[string]string{"note": strings.Repeat("x", 1024)}}), codes.InvalidArgument, "attributes", "1028 bytes, at most 1024"},
		{"asked for what has no name", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: "x", Node: "virtual:"}), codes.InvalidArgument,
			"node", "is needed"},
		{"asked for a very long name", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: "x", Node: strings.Repeat("n", 254)}),
			codes.InvalidArgument, "node", "254 bytes, at most 253"},
		{"asked with a negative limit", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: "x", MaxBlocks: -1}), codes.InvalidArgument,
			"maxBlocks", "negative"},
		{"asked for two scopes", allocate(&vrouterv1.AllocateRequest{Ipv4: 1, Handle: "x", Namespace: "a", ScopeLabels: map[string]string{"b": "c"}}),
			codes.InvalidArgument, "scopeLabels", "must be empty"},
		{"block with host bits", block("host1", "10.0.3.1/26"), codes.InvalidArgument, "cidr", "the block is 10.0.3.0/26"},
		{"block with host bits taken away", releaseBlock("host1", "10.0.3.1/26"), codes.InvalidArgument, "cidr", "the block is 10.0.3.0/26"},
		{"block of no pool", block("host1", "192.0.2.0/26"), codes.FailedPrecondition, "cidr", "lies in no pool"},
		{"block of another size", block("host1", "10.0.3.0/25"), codes.FailedPrecondition, "cidr", "blocks of pool four are /26"},
		{"block of another node", block("host1", "10.0.7.0/26"), codes.FailedPrecondition, "cidr", "assigned to node host2"},
		{"block in use taken away", releaseBlock("host1", "10.0.0.0/26"), codes.FailedPrecondition, "cidr", "of its addresses are held"},
		{"split into three", split("four", 3), codes.InvalidArgument, "parts", "not a power of two"},
		{"split into one", split("four", 1), codes.InvalidArgument, "parts", "not a power of two"},
		{"split into very many", split("four", 64), codes.InvalidArgument, "parts", "between 2 and 32"},
		{"split of no such pool", split("none", 2), codes.NotFound, "pool", "does not exist"},
		{"split of nothing", split("", 2), codes.InvalidArgument, "pool", "is needed"},
		{"a block is written", putting(&vrouterv1.IPAMBlock{Metadata: name, Spec: &vrouterv1.IPAMBlockSpec{Cidr: proto.String("10.0.0.0/26")}}),
			codes.FailedPrecondition, "IPAMBlock/10-0-0-0-26", "address management alone writes it"},
		{"a handle is written", putting(&vrouterv1.IPAMHandle{Metadata: &vrouterv1.Metadata{Name: proto.String("lb")}}),
			codes.FailedPrecondition, "IPAMHandle/lb", "address management alone writes it"},
		{"an affinity is deleted", func(r *rig) error {
			_, err := r.resources.Delete(r.t.Context(), &vrouterv1.DeleteRequest{Kind: "BlockAffinity", Name: "host2.10-0-7-0-26"})
			return err
		}, codes.FailedPrecondition, "BlockAffinity/host2.10-0-7-0-26", "address management alone writes it"},
		{"an affinity is written", putting(&vrouterv1.BlockAffinity{Metadata: &vrouterv1.Metadata{Name: proto.String("host1.10-0-9-0-26")}}),
			codes.FailedPrecondition, "BlockAffinity/host1.10-0-9-0-26", "address management alone writes it"},
	}
}
