package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// IO is all that a run sees of the process it runs in.
type IO struct {
	In  io.Reader
	Out io.Writer // results
	Err io.Writer // errors, warnings, progress

	// OutWidth is the width in columns of the terminal that Out is; zero when
	// it is none. Colour and cutting to width depend on it.
	OutWidth int
	// ErrTerminal tells that Err is a terminal, where progress may be shown.
	ErrTerminal bool

	Getenv func(string) string
	// Now is the time that ages are counted from; times of day are shown in
	// its location.
	Now func() time.Time
}

// System is the IO of this process.
func System() IO {
	io := IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Now: time.Now}
	if out := int(os.Stdout.Fd()); term.IsTerminal(out) {
		io.OutWidth = 80
		if width, _, err := term.GetSize(out); err == nil && width > 0 {
			io.OutWidth = width
		}
	}
	io.ErrTerminal = term.IsTerminal(int(os.Stderr.Fd()))
	return io
}

// Run executes one command line, without the program's name, and returns the
// exit code. It prints the error of the run itself.
func Run(ctx context.Context, io IO, args []string) int {
	out := &checkedWriter{Writer: io.Out}
	io.Out = out
	a := &app{IO: io}
	defer a.close()
	root := a.rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		err = asUsage(err) // cobra's own errors are all about the command line
	}
	if err == nil && out.err != nil {
		err = fmt.Errorf("write output: %w", out.err)
	}
	if ctx.Err() != nil && err != nil {
		return ExitInterrupted
	}
	a.report(cmd, err)
	return exitCode(err)
}

// checkedWriter remembers the first error, so that output that went nowhere (a
// full disk) is no success.
type checkedWriter struct {
	io.Writer
	err error
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// report prints an error that ends a run.
func (a *app) report(cmd *cobra.Command, err error) {
	var silent *reportedError
	if err == nil || errors.As(err, &silent) {
		return
	}
	a.printError("", "", err)
	var usage *usageError
	if errors.As(err, &usage) && cmd != nil {
		fmt.Fprintf(a.Err, "See '%s --help'.\n", cmd.CommandPath())
	}
}

// printError prints an error with the object that it is about, unless it names
// that itself, and each detail on a line of its own.
// The source is the manifest that it came from; both may be empty.
func (a *app) printError(source, subject string, err error) {
	lines := sentences(err)
	if subject != "" && !strings.Contains(strings.ToLower(lines[0]), strings.ToLower(subject)) {
		lines[0] = subject + ": " + lines[0]
	}
	if source != "" {
		lines[0] = source + ": " + lines[0]
	}
	a.progress.clear()
	fmt.Fprintf(a.Err, "%s %s\n", a.errPaint("error:", bad), lines[0])
	for _, line := range lines[1:] {
		fmt.Fprintf(a.Err, "  %s\n", line)
	}
}

// warn prints a warning, such as a field that was ignored.
func (a *app) warn(subject, text string) {
	a.progress.clear()
	if subject != "" {
		subject += ": "
	}
	fmt.Fprintf(a.Err, "%s %s%s\n", a.errPaint("warning:", doubtful), subject, printable(text))
}
