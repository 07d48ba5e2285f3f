package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// sentences turns an error into plain sentences: the first says what is wrong,
// each of the others is one field violation or a hint.
func sentences(err error) []string {
	count := "%d things are wrong, nothing was sent:"
	var question *undecidedError
	if errors.As(err, &question) {
		err, count = question.err, "%d things are wrong:"
	}
	s, ok := status.FromError(err)
	if !ok {
		return plainSentences(err, count)
	}
	lines := []string{sentence(s)}
	for _, detail := range s.Details() {
		lines = append(lines, detailLines(detail, s.Message())...)
	}
	return tidy(lines)
}

// tidy makes the lines of one error: where the first repeats what the others
// say, it only counts them, and a single one takes its place.
func tidy(lines []string) []string {
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	details := slices.DeleteFunc(slices.Clone(lines[1:]), func(detail string) bool {
		return detail == lines[0]
	})
	repeated := 0
	for _, detail := range details {
		if strings.Contains(lines[0], detail) {
			repeated++
		}
	}
	switch {
	case repeated == 0 || repeated < len(details):
		return append(lines[:1], details...)
	case repeated == 1:
		return details
	}
	return append([]string{fmt.Sprintf("%d things are wrong:", repeated)}, details...)
}

// plainSentences renders an error of our own. Those of manifests have a line for
// each problem, below the count of them.
func plainSentences(err error, count string) []string {
	var lines []string
	for _, one := range unjoin(err) {
		var invalid *resource.Invalid
		if !errors.As(one, &invalid) {
			lines = append(lines, one.Error())
			continue
		}
		for _, p := range invalid.Problems {
			lines = append(lines, violation(invalid.Source, p.String()))
		}
	}
	if len(lines) > 1 {
		lines = slices.Insert(lines, 0, fmt.Sprintf(count, len(lines)))
	}
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	var unreachable *unreachableError
	if errors.As(err, &unreachable) && unreachable.hint() != "" {
		lines[0] += ": " + unreachable.hint()
	}
	return lines
}

// unjoin takes apart what errors.Join made, in depth.
func unjoin(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, unjoin(one)...)
	}
	return all
}

// sentence renders code and message. Where the message says it all, the code
// is left out.
func sentence(s *status.Status) string {
	message := s.Message()
	if message == "" {
		message = "no reason given"
	}
	switch s.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition,
		codes.OutOfRange, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Unavailable:
		return message
	case codes.Aborted:
		return "the object was changed meanwhile: " + message
	case codes.PermissionDenied:
		return "not permitted: " + message
	case codes.Unauthenticated:
		return "vrouterd does not accept this client: " + message
	case codes.Unimplemented:
		return "vrouterd does not know this call; is it older than vrouterctl? (" + message + ")"
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return "vrouterd met an error of its own: " + message
	case codes.Canceled:
		return "interrupted: " + message
	}
	return fmt.Sprintf("%s: %s", s.Code(), message)
}

// detailLines renders one of the rich error details that the API uses, beside
// the message.
func detailLines(detail any, message string) []string {
	var lines []string
	switch d := detail.(type) {
	case *errdetails.BadRequest:
		for _, v := range d.GetFieldViolations() {
			if v.GetDescription() != message { // nothing is said twice
				lines = append(lines, violation(v.GetField(), v.GetDescription()))
			}
		}
	case *errdetails.PreconditionFailure:
		for _, v := range d.GetViolations() {
			if strings.Contains(message, v.GetDescription()) {
				continue // nothing is said twice
			}
			subject := v.GetSubject()
			if strings.HasPrefix(v.GetDescription(), subject) {
				subject = "" // "node a is not alive" names it
			}
			lines = append(lines, violation(subject, v.GetDescription()))
		}
	case *errdetails.RetryInfo:
		delay := d.GetRetryDelay().AsDuration()
		if delay <= 0 {
			return []string{"try again"}
		}
		lines = append(lines, "try again in "+delay.Round(time.Millisecond).String())
	}
	return lines
}

func violation(field, description string) string {
	if field == "" {
		return description
	}
	return field + ": " + description
}

// reason returns the ErrorInfo of an error, or nil.
func reason(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// plural renders how many there are of something.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
