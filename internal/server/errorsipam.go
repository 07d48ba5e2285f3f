package server

import (
	"errors"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/protoadapt"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/ipam"
)

// ipamStatus is the part of the table of errors for address management.
func ipamStatus(err error) (codes.Code, []protoadapt.MessageV1, bool) {
	var (
		exhausted *ipam.ExhaustedError
		noPool    *ipam.NoPoolError
		inUse     *ipam.InUseError
		block     *ipam.BlockError
		pool      *ipam.PoolInUseError
		address   *ipam.AddressError
		stale     *ipam.StaleError
		handle    *ipam.HandleError
		bad       *ipam.RequestError
	)
	switch {
	case errors.As(err, &exhausted):
		return codes.ResourceExhausted, details(&errdetails.ErrorInfo{Reason: "ADDRESSES_EXHAUSTED", Domain: errorDomain,
			Metadata: map[string]string{
				"kind": exhausted.Kind.Error(), "family": exhausted.Family.String(), "node": exhausted.Node,
				"pools": strings.Join(exhausted.Pools, " "), "wanted": strconv.Itoa(exhausted.Wanted), "got": strconv.Itoa(exhausted.Got),
				"blocks": strconv.Itoa(exhausted.Blocks), "limit": strconv.Itoa(exhausted.Limit), "help": exhausted.Help(),
			}}), true
	case errors.As(err, &noPool):
		why := &errdetails.PreconditionFailure{}
		for _, p := range noPool.Pools {
			why.Violations = append(why.Violations, &errdetails.PreconditionFailure_Violation{
				Type: "NO_POOL", Subject: "IPPool/" + p.Pool, Description: p.Reason})
		}
		return codes.FailedPrecondition, details(why), true
	case errors.As(err, &inUse):
		return codes.AlreadyExists, details(
			&errdetails.ResourceInfo{ResourceType: string(resource.KindIPAMHandle), ResourceName: inUse.Handle,
				Description: "holds " + inUse.Address.String()},
			&errdetails.ErrorInfo{Reason: "ADDRESS_HELD", Domain: errorDomain,
				Metadata: map[string]string{"address": inUse.Address.String(), "handle": inUse.Handle}}), true
	case errors.As(err, &stale):
		return codes.Aborted, details(&errdetails.ErrorInfo{Reason: "STALE", Domain: errorDomain,
			Metadata: map[string]string{"address": stale.Address.String(), "handle": stale.Handle,
				"sequence": strconv.FormatUint(stale.Sequence, 10)}}), true
	case errors.As(err, &pool):
		return codes.FailedPrecondition, details(precondition(&stateError{"IN_USE", "IPPool/" + pool.Pool, pool.Error()})), true
	case errors.As(err, &block):
		return codes.FailedPrecondition, details(precondition(&stateError{"BLOCK", "IPAMBlock/" + block.CIDR.String(), block.Error()})), true
	case errors.As(err, &address):
		if errors.Is(err, ipam.ErrNotAllocated) {
			return codes.NotFound, nil, true
		}
		return codes.FailedPrecondition, details(precondition(&stateError{"NO_POOL", address.Address.String(), address.Error()})), true
	case errors.Is(err, ipam.ErrNoHandle):
		return codes.NotFound, nil, true
	case errors.As(err, &handle):
		return codes.AlreadyExists, details(&errdetails.ResourceInfo{ResourceType: string(resource.KindIPAMHandle),
			ResourceName: handle.ID, Description: "is of " + handle.Owner.Key}), true
	case errors.As(err, &bad):
		return codes.InvalidArgument, violations(badRequest(bad, "")), true
	}
	return 0, nil, false
}

func details(list ...protoadapt.MessageV1) []protoadapt.MessageV1 { return list }

// badRequest turns what address management says of a request into what is wrong
// with its fields.
func badRequest(bad *ipam.RequestError, prefix string) *resource.Invalid {
	out := &resource.Invalid{}
	for _, p := range bad.Problems {
		out.Problems = append(out.Problems, resource.Problem{Path: prefix + p.Path, Reason: p.Reason})
	}
	return out
}
