package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// errorDomain is the domain of every ErrorInfo.
const errorDomain = "vrouter"

// defaultRetry is the RetryInfo where the store gives no hint: about the time
// that etcd takes to elect a leader.
const defaultRetry = time.Second

// errStopping ends what would otherwise go on for long.
var errStopping = errors.New("the server is stopping")

// missingError is an object that should be there.
type missingError struct{ id resource.ID }

func (e *missingError) Error() string { return fmt.Sprintf("%s does not exist", e.id) }

// existsError is an object that should not be there.
type existsError struct{ id resource.ID }

func (e *existsError) Error() string { return fmt.Sprintf("%s exists already", e.id) }

// heldError is an address that another endpoint holds.
type heldError struct {
	address string
	holder  string // NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT
}

func (e *heldError) Error() string {
	return fmt.Sprintf("address %s is held by endpoint %s", e.address, e.holder)
}

// fieldError is a refusal because of what a field of a request says, where the
// fault is not the request's alone: its code is that of err.
type fieldError struct {
	path string // of the field
	err  error
}

// atField names the field of a request that an error is because of, if any.
func atField(path string, err error) error {
	if err == nil || path == "" {
		return err
	}
	return &fieldError{path, err}
}

// Error names the field, unless the error begins with its name.
func (e *fieldError) Error() string {
	if text := e.err.Error(); strings.HasPrefix(text, e.path+" ") {
		return text
	}
	return e.path + ": " + e.err.Error()
}

func (e *fieldError) Unwrap() error { return e.err }

// staleError is a resource version that is no longer, or never was, that of
// the object.
type staleError struct {
	id   resource.ID
	want string // as the caller gave it
	have int64  // zero: the object does not exist
}

func (e *staleError) Error() string {
	if e.have == 0 {
		return fmt.Sprintf("%s has no resource version %s: it does not exist", e.id, e.want)
	}
	return fmt.Sprintf("%s is at resource version %d, not %s", e.id, e.have, e.want)
}

// stateError is a call that the state of the system does not allow.
type stateError struct {
	kind    string // e.g. LOCKED
	subject string // what has that state
	text    string
}

func (e *stateError) Error() string { return e.text }

// stageError is an endpoint that did not reach a stage before the deadline.
type stageError struct {
	endpoint string
	revision int64
	wanted   vrouterv1.Stage
	reached  vrouterv1.Stage
	problems []string
}

func (e *stageError) Error() string {
	text := fmt.Sprintf("endpoint %s is registered but has reached only %s of %s",
		e.endpoint, stageName(e.reached), stageName(e.wanted))
	for _, p := range e.problems {
		text += "; " + p
	}
	return text
}

// statusOf is the table of errors: which code and which details each error of
// the domain has at the API.
func statusOf(err error) *status.Status {
	var (
		invalid *resource.Invalid
		missing *missingError
		exists  *existsError
		held    *heldError
		stale   *staleError
		state   *stateError
		locked  *resource.LockedError
		stage   *stageError
	)
	with := func(c codes.Code, details ...protoadapt.MessageV1) *status.Status {
		if field := (&fieldError{}); errors.As(err, &field) {
			details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
				{Field: field.path, Description: field.err.Error()}}})
		}
		return rich(c, err, details)
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return with(codes.InvalidArgument, violations(invalid)...)
	case errors.As(err, &missing):
		return with(codes.NotFound, named(missing.id, "does not exist"))
	case errors.As(err, &exists):
		return with(codes.AlreadyExists, named(exists.id, "exists already"))
	case errors.As(err, &held):
		return with(codes.AlreadyExists, holderDetails(held)...)
	case errors.As(err, &stale):
		return with(codes.Aborted, named(stale.id, "stale resource version"))
	case errors.As(err, &state):
		return with(codes.FailedPrecondition, precondition(state))
	case errors.As(err, &locked):
		id := resource.ID{Kind: resource.KindClusterInformation, Name: resource.DefaultName}
		return with(codes.FailedPrecondition, precondition(&stateError{"LOCKED", id.String(), locked.Error()}))
	case errors.As(err, &stage):
		return with(codes.DeadlineExceeded, stageInfo(stage))
	case errors.Is(err, errStopping):
		return with(codes.Unavailable, retry(err))
	}
	if code, details, ok := ipamStatus(err); ok {
		return with(code, details...)
	}
	if code, ok := storeCode(err); ok {
		if code == codes.Unavailable {
			return with(code, retry(err))
		}
		return with(code)
	}
	return foreignStatus(err)
}

// storeCode is the part of the table for the errors of a Store.
func storeCode(err error) (codes.Code, bool) {
	for _, row := range []struct {
		kind error
		code codes.Code
	}{
		{store.ErrNotFound, codes.NotFound},
		{store.ErrConflict, codes.Aborted}, // others were faster, again and again
		{store.ErrCompacted, codes.OutOfRange},
		{store.ErrFull, codes.ResourceExhausted},
		{store.ErrTooLarge, codes.ResourceExhausted},
		{store.ErrForeign, codes.FailedPrecondition},
		{store.ErrPermission, codes.FailedPrecondition}, // the daemon's rights, not the caller's
		{store.ErrClosed, codes.Unavailable},
		{store.ErrUnavailable, codes.Unavailable},
	} {
		if errors.Is(err, row.kind) {
			return row.code, true
		}
	}
	return 0, false
}

// foreignStatus is the status of an error that is not of our domain: a status
// stays as it is (that of a proxied call, or grpc's own), the end of a context
// says so, and the rest is our bug.
func foreignStatus(err error) *status.Status {
	if own, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return own.GRPCStatus()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, err.Error())
	}
	return status.New(codes.Internal, err.Error())
}

func rich(code codes.Code, err error, details []protoadapt.MessageV1) *status.Status {
	st := status.New(code, err.Error())
	if detailed, err := st.WithDetails(details...); err == nil {
		return detailed
	}
	return st // a detail that cannot be encoded costs the detail only
}

func violations(e *resource.Invalid) []protoadapt.MessageV1 {
	bad := &errdetails.BadRequest{}
	unsupported := false
	for _, p := range e.Problems {
		bad.FieldViolations = append(bad.FieldViolations,
			&errdetails.BadRequest_FieldViolation{Field: p.Path, Description: p.Reason})
		unsupported = unsupported || p.Unsupported
	}
	details := []protoadapt.MessageV1{bad}
	if unsupported {
		details = append(details, &errdetails.ErrorInfo{Reason: "UNSUPPORTED", Domain: errorDomain})
	}
	return details
}

func named(id resource.ID, text string) protoadapt.MessageV1 {
	return &errdetails.ResourceInfo{ResourceType: string(id.Kind), ResourceName: id.String(), Description: text}
}

func holderDetails(e *heldError) []protoadapt.MessageV1 {
	return []protoadapt.MessageV1{
		&errdetails.ResourceInfo{
			ResourceType: string(resource.KindWorkloadEndpoint),
			ResourceName: e.holder,
			Description:  "holds " + e.address,
		},
		&errdetails.ErrorInfo{Reason: "ADDRESS_HELD", Domain: errorDomain,
			Metadata: map[string]string{"address": e.address, "holder": e.holder}},
	}
}

func precondition(e *stateError) protoadapt.MessageV1 {
	return &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
		{Type: e.kind, Subject: e.subject, Description: e.text},
	}}
}

func stageInfo(e *stageError) protoadapt.MessageV1 {
	metadata := map[string]string{
		"stage":    stageName(e.reached),
		"wanted":   stageName(e.wanted),
		"revision": strconv.FormatInt(e.revision, 10),
	}
	if len(e.problems) > 0 {
		metadata["problems"] = strings.Join(e.problems, "; ")
	}
	return &errdetails.ErrorInfo{Reason: "STAGE", Domain: errorDomain, Metadata: metadata}
}

func retry(err error) protoadapt.MessageV1 {
	after := store.RetryAfter(err)
	if after <= 0 {
		after = defaultRetry
	}
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(after)}
}
