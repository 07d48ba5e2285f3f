package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit codes, as `vrouterctl help exit-codes` tells them.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3
	ExitNotFound    = 4
	ExitDeadline    = 5
	ExitInterrupted = 130 // 128 + SIGINT, as shells count
)

const exitCodesHelp = `The exit code tells what became of a command:

    0  done
    1  refused or failed: vrouterd returned an error, or a manifest cannot be
       read, or objects of one command failed for different reasons
    2  usage: an unknown command, kind or flag, or a value that it does not take
    3  vrouterd cannot be reached, or the connection was lost
    4  an object that was named does not exist
    5  the deadline (--timeout) passed; of 'endpoint register --wait': the stage
       was not reached in time, and the registration stays
  130  interrupted

A command on several objects goes on after one has failed, and ends with the
code that all failures share, else with 1. One exception: when vrouterd cannot
be reached, the rest is not tried.

Commands that answer a question do so with the exit code as well: 'explain',
'policy test' and 'selector eval' exit with 0 for yes, with 1 for no, and with 2
if they cannot say.`

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  exitCodesHelp,
	}
}

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes a usageError, which must name the flag or argument at fault.
func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

func asUsage(err error) error {
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	return &usageError{err}
}

// reportedError ends a run whose failures have been printed one by one.
type reportedError struct{ code int }

func (e *reportedError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// deadlineError is a stage that was not reached in time.
type deadlineError struct{ text string }

func (e *deadlineError) Error() string { return e.text }

// undecidedError is a question about policy that has no answer, which is not the
// same as no.
type undecidedError struct{ err error }

func (e *undecidedError) Error() string { return e.err.Error() }
func (e *undecidedError) Unwrap() error { return e.err }

// undecided wraps the error of a command that answers with its exit code.
func undecided(err error) error {
	if err == nil {
		return nil
	}
	return &undecidedError{err}
}

// exitCode maps the error of a run or of one object.
func exitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	var (
		reported    *reportedError
		undecided   *undecidedError
		usage       *usageError
		unreachable *unreachableError
		deadline    *deadlineError
	)
	switch {
	case errors.As(err, &reported):
		return reported.code
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &unreachable):
		return ExitUnreachable
	case errors.As(err, &deadline), errors.Is(err, context.DeadlineExceeded):
		return ExitDeadline
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	}
	switch status.Code(err) {
	case codes.NotFound:
		return ExitNotFound
	case codes.DeadlineExceeded:
		return ExitDeadline
	case codes.Canceled:
		return ExitInterrupted
	}
	if errors.As(err, &undecided) {
		return ExitUsage
	}
	return ExitFailed
}

// tally counts what became of the objects of one command.
type tally struct {
	failures int
	code     int // shared by all failures, else ExitFailed
}

// fail counts a failed object, and tells whether trying more makes sense.
func (t *tally) fail(err error) (goOn bool) {
	code := exitCode(err)
	if t.failures++; t.failures == 1 {
		t.code = code
	} else if t.code != code {
		t.code = ExitFailed
	}
	if code == ExitUnreachable || code == ExitInterrupted {
		t.code = code
		return false
	}
	return true
}

// err is nil when nothing failed.
func (t *tally) err() error {
	if t.failures == 0 {
		return nil
	}
	return &reportedError{t.code}
}
