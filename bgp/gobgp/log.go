package gobgp

import (
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/osrg/gobgp/v3/pkg/log"
)

// logger takes GoBGP's log to hclog, and notes why sessions end, which GoBGP
// says nowhere else.
type logger struct {
	to hclog.Logger

	mu      sync.Mutex // guards reasons
	reasons map[netip.Addr]string
}

func newLogger(to hclog.Logger) *logger {
	return &logger{to: to, reasons: make(map[netip.Addr]string)}
}

// quiet is what GoBGP says louder than an operator needs to hear it.
var quiet = map[string]bool{
	// For each path that a policy refused, and for each peer when policies change.
	"No matching path for withdraw found, may be path was not installed into table": true,
	"call set policy": true,
	// Whenever two ends dial each other, or one dials while the other pauses.
	"Closed an accepted connection": true,
	// A peer that restarted with several sessions has the flag in the first only.
	"restart flag is not set": true,
}

func (l *logger) Panic(msg string, f log.Fields) {
	l.to.Error(strings.ToLower(msg), pairs(f)...)
	panic("gobgp: " + msg)
}

// Fatal does not end the process: that is not GoBGP's to decide.
func (l *logger) Fatal(msg string, f log.Fields) { l.to.Error(strings.ToLower(msg), pairs(f)...) }
func (l *logger) Error(msg string, f log.Fields) { l.to.Error(strings.ToLower(msg), pairs(f)...) }

func (l *logger) Warn(msg string, f log.Fields) {
	l.note(msg, f)
	if quiet[msg] {
		l.Debug(msg, f)
		return
	}
	l.to.Warn(strings.ToLower(msg), pairs(f)...)
}

func (l *logger) Info(msg string, f log.Fields) {
	l.note(msg, f)
	if quiet[msg] {
		l.Debug(msg, f)
		return
	}
	l.to.Info(strings.ToLower(msg), pairs(f)...)
}

func (l *logger) Debug(msg string, f log.Fields) {
	if l.to.IsDebug() {
		l.to.Debug(strings.ToLower(msg), pairs(f)...)
	}
}

// SetLevel is hclog's business.
func (l *logger) SetLevel(log.LogLevel) {}

func (l *logger) GetLevel() log.LogLevel {
	switch l.to.GetLevel() {
	case hclog.Trace:
		return log.TraceLevel
	case hclog.Debug:
		return log.DebugLevel
	case hclog.Warn:
		return log.WarnLevel
	case hclog.Error, hclog.Off:
		return log.ErrorLevel
	}
	return log.InfoLevel
}

// plainReasons are GoBGP's reasons in an operator's words.
var plainReasons = map[string]string{
	"read-failed":           "connection lost",
	"write-failed":          "connection lost while sending",
	"graceful-restart":      "connection lost, its paths are kept for the restart time",
	"restart-timer-expired": "not back within the restart time",
	"hold-timer-expired":    "hold timer expired",
	"invalid-msg":           "invalid message",
	"dying":                 "closed by us",
}

// note keeps the reason why a session ended or did not come up.
func (l *logger) note(msg string, f log.Fields) {
	var reason string
	switch msg {
	case "Peer Down":
		reason = fmt.Sprint(f["Reason"])
		if plain, ok := plainReasons[reason]; ok {
			reason = plain
		}
	case "sent notification":
		reason = "notification sent: " + strings.TrimSpace(fmt.Sprint(f["Data"]))
		if code, ok := f["Code"]; ok {
			reason = fmt.Sprintf("notification sent: code %v subcode %v", code, f["Subcode"])
		}
	case "received notification":
		reason = fmt.Sprintf("notification received: code %v subcode %v", f["Code"], f["Subcode"])
	default:
		return
	}
	addr, err := netip.ParseAddr(fmt.Sprint(f["Key"]))
	if err != nil {
		return
	}
	l.mu.Lock()
	l.reasons[addr] = reason
	l.mu.Unlock()
}

func (l *logger) reason(addr netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reasons[addr]
}

// keys of GoBGP that have a name of ours.
func key(k string) string {
	switch k {
	case "Key":
		return "peer"
	default:
		return strings.ToLower(strings.NewReplacer(" ", "_", "-", "_").Replace(k))
	}
}

func pairs(f log.Fields) []any {
	keys := make([]string, 0, len(f))
	for k := range f {
		if k != "Topic" && k != log.FieldFacility {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	list := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		list = append(list, key(k), fmt.Sprint(f[k]))
	}
	return list
}
