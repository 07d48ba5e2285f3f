package etcd

import (
	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZap returns a zap logger for etcd's own server that writes to an hclog
// logger. etcd tells at Info what an operator of a single host need not see:
// it becomes Debug. Where etcd would end the process ("fatal"), it panics
// instead, so that the start can report the reason.
func newZap(log hclog.Logger) *zap.Logger {
	return zap.New(&zapCore{log: log}, zap.WithFatalHook(zapcore.WriteThenPanic))
}

type zapCore struct{ log hclog.Logger }

// Enabled implements zapcore.Core.
func (c *zapCore) Enabled(level zapcore.Level) bool {
	switch {
	case level >= zapcore.ErrorLevel:
		return c.log.IsError()
	case level >= zapcore.WarnLevel:
		return c.log.IsWarn()
	case level >= zapcore.InfoLevel:
		return c.log.IsDebug()
	}
	return c.log.IsTrace()
}

// With implements zapcore.Core.
func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{log: c.log.With(pairs(fields)...)}
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
	args := append([]any{"message", e.Message}, pairs(fields)...)
	switch {
	case e.Level >= zapcore.ErrorLevel:
		c.log.Error("etcd server", args...)
	case e.Level >= zapcore.WarnLevel:
		c.log.Warn("etcd server", args...)
	case e.Level >= zapcore.InfoLevel:
		c.log.Debug("etcd server", args...)
	default:
		c.log.Trace("etcd server", args...)
	}
	return nil
}

// Sync implements zapcore.Core.
func (c *zapCore) Sync() error { return nil }

// pairs flattens zap's fields, in their order.
func pairs(fields []zapcore.Field) []any {
	var out []any
	for _, f := range fields {
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for key, value := range enc.Fields {
			out = append(out, key, value)
		}
	}
	return out
}
