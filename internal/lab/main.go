package lab

import (
	"context"
	"fmt"
	"runtime"
	"slices"
)

// Main runs f as a test runs, for a program that is none: f gets a T whose
// Fatalf ends it, and when f has returned or failed, its cleanups run in
// reverse order. The error is the first failure. Logs go to logf. When ctx
// ends, everything that waits for a state fails, and the cleanups follow.
func Main(ctx context.Context, logf func(format string, args ...any), f func(T)) error {
	ctx, cancel := context.WithCancel(ctx)
	m := &mainT{ctx: ctx, logf: logf}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer m.cleanup()
		defer cancel() // before the cleanups, as in package testing
		f(m)
	}()
	<-done
	return m.failure
}

type mainT struct {
	ctx      context.Context
	logf     func(format string, args ...any)
	failure  error
	cleanups []func()
}

func (m *mainT) Helper()                         {}
func (m *mainT) Logf(format string, args ...any) { m.logf(format, args...) }
func (m *mainT) Failed() bool                    { return m.failure != nil }
func (m *mainT) Cleanup(f func())                { m.cleanups = append(m.cleanups, f) }
func (m *mainT) Context() context.Context        { return m.ctx }
func (m *mainT) Fatalf(format string, args ...any) {
	if m.failure == nil {
		m.failure = fmt.Errorf(format, args...)
	}
	runtime.Goexit()
}

func (m *mainT) cleanup() {
	for _, f := range slices.Backward(m.cleanups) {
		f()
	}
}
