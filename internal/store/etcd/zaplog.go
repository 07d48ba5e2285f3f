package etcd

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// serverLog is where etcd's own server logs. etcd is loud: it warns of normal
// settings at each start, and calls its own orderly end an error. An operator
// of a single host is told what it calls an error, as a warning, and why it
// gives up, as an error; the rest is for debugging.
type serverLog struct {
	log     hclog.Logger
	closing *atomic.Bool // set before an orderly end
}

// zap returns the logger for etcd. Where etcd would end the process ("fatal")
// it panics instead, so that the start can report the reason.
func (l serverLog) zap() *zap.Logger {
	return zap.New(&zapCore{l}, zap.WithFatalHook(zapcore.WriteThenPanic))
}

func (l serverLog) level(of zapcore.Level) hclog.Level {
	switch {
	case of > zapcore.ErrorLevel:
		return hclog.Error
	case of == zapcore.ErrorLevel && !l.closing.Load():
		return hclog.Warn
	case of >= zapcore.InfoLevel:
		return hclog.Debug
	}
	return hclog.Trace
}

type zapCore struct{ serverLog }

// Enabled implements zapcore.Core.
func (c *zapCore) Enabled(of zapcore.Level) bool { return c.log.GetLevel() <= c.level(of) }

// With implements zapcore.Core.
func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{serverLog{c.log.With(pairs(fields)...), c.closing}}
}

// Check implements zapcore.Core.
func (c *zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := c.level(e.Level)
	if slices.ContainsFunc(fields, tooEarly) {
		level = hclog.Debug
	}
	c.log.Log(level, "etcd server", append([]any{"message", e.Message}, pairs(fields)...)...)
	return nil
}

// tooEarly tells of an error that a new server looked for the version of its data
// before anything was written: it looks again four seconds later.
func tooEarly(f zapcore.Field) bool {
	err, ok := f.Interface.(error)
	return ok && strings.Contains(err.Error(), "missing term information")
}

// Sync implements zapcore.Core.
func (c *zapCore) Sync() error { return nil }

// requestField is where etcd logs whole requests, values included, and values
// can be secrets. Where it logs requests under other names it leaves values out.
const requestField = "raftReq"

// pairs flattens zap's fields, in their order.
func pairs(fields []zapcore.Field) []any {
	var out []any
	for _, f := range fields {
		if f.Key == requestField {
			continue
		}
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for key, value := range enc.Fields {
			out = append(out, key, value)
		}
	}
	return out
}
