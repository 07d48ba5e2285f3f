package telemetry

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// LogOptions says what is logged, how and where.
type LogOptions struct {
	Level  hclog.Level            // of subsystems without their own
	Levels map[string]hclog.Level // by subsystem
	JSON   bool
	Output io.Writer // os.Stderr when nil
}

// NewLogger returns a root logger and the levels of its subsystems. The first
// segment of a logger's name is its subsystem: root.Named("bgp").Named("peer")
// follows the level of "bgp", also when that changes later. The root itself,
// which has no name, follows the general level.
func NewLogger(opts LogOptions) (hclog.Logger, *Levels) {
	l := &Levels{
		template: hclog.LoggerOptions{
			Output: opts.Output, JSONFormat: opts.JSON,
			Mutex: new(sync.Mutex), // one line at a time over all loggers
		},
		general: opts.Level,
		own:     maps.Clone(opts.Levels),
		loggers: map[string]hclog.Logger{},
	}
	if l.general == hclog.NoLevel {
		l.general = hclog.Info
	}
	if l.own == nil {
		l.own = map[string]hclog.Level{}
	}
	return root{Logger: l.subsystem(""), levels: l}, l
}

// Levels holds the levels of a logger's subsystems.
//
// hclog shares one level among a logger and all that descend from it, or, by
// option, gives each its own and no way to find them again. So every subsystem
// is a hclog root of its own, and the loggers below it share its level.
type Levels struct {
	template hclog.LoggerOptions

	mu      sync.Mutex             // guards the rest
	general hclog.Level            // of subsystems that are not in own
	own     map[string]hclog.Level // by subsystem, used or not
	loggers map[string]hclog.Logger
}

// Set sets the level of a subsystem by hclog's name of it (trace to error, or
// off). An empty subsystem means all of them, also those that had a level of
// their own. A subsystem that nobody logs for is an error.
func (l *Levels) Set(subsystem, level string) error {
	lvl := hclog.LevelFromString(level)
	if lvl == hclog.NoLevel {
		return fmt.Errorf("log level %q is none of trace, debug, info, warn, error, off", level)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if subsystem == "" {
		l.general = lvl
		clear(l.own)
		for _, logger := range l.loggers {
			logger.SetLevel(lvl)
		}
		return nil
	}
	logger, ok := l.loggers[subsystem]
	if !ok {
		return fmt.Errorf("no subsystem %q logs: there are %s", subsystem, strings.Join(l.namesLocked(), ", "))
	}
	l.own[subsystem] = lvl
	logger.SetLevel(lvl)
	return nil
}

// All returns the level of every subsystem that logs, and of those without
// their own under the empty name.
func (l *Levels) All() map[string]hclog.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]hclog.Level{}
	for name := range l.loggers {
		all[name] = l.levelLocked(name)
	}
	return all
}

// subsystem returns the logger of a subsystem, and makes it the first time.
func (l *Levels) subsystem(name string) hclog.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if logger, ok := l.loggers[name]; ok {
		return logger
	}
	opts := l.template
	opts.Name = name
	opts.Level = l.levelLocked(name)
	logger := hclog.New(&opts)
	l.loggers[name] = logger
	return logger
}

func (l *Levels) levelLocked(name string) hclog.Level {
	if level, ok := l.own[name]; ok {
		return level
	}
	return l.general
}

func (l *Levels) namesLocked() []string {
	var names []string
	for name := range l.loggers {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// root is a logger without a name: what is named from it is a subsystem.
type root struct {
	hclog.Logger // of the empty name
	levels       *Levels
}

// Named implements hclog.Logger.
func (r root) Named(name string) hclog.Logger {
	first, _, _ := strings.Cut(name, ".")
	logger := r.levels.subsystem(first)
	if name != first {
		logger = logger.ResetNamed(name)
	}
	if args := r.ImpliedArgs(); len(args) > 0 {
		logger = logger.With(args...)
	}
	return logger
}

// ResetNamed implements hclog.Logger.
func (r root) ResetNamed(name string) hclog.Logger { return r.Named(name) }

// With implements hclog.Logger.
func (r root) With(args ...any) hclog.Logger {
	return root{Logger: r.Logger.With(args...), levels: r.levels}
}
