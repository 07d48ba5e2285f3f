package etcd

import "sync/atomic"

// Stats counts what a Store has done since its start.
type Stats struct {
	Calls     uint64 // requests to etcd, those of watches included
	Failed    uint64 // of these, without an answer or refused; conflicts do not count
	Conflicts uint64 // transactions whose compares did not hold
	Snapshots uint64 // snapshots begun by watches; more than watches: history was lost
	Streams   uint64 // watch streams opened; more than watches: connections were lost
	Events    uint64 // changes received by watches, before superseding
	// LastError is why the last connection did not come up; empty while calls
	// are answered.
	LastError string
}

type counters struct {
	calls, failed, conflicts   atomic.Uint64
	snapshots, streams, events atomic.Uint64
}

// Stats returns the counters of the store.
func (s *Store) Stats() Stats {
	out := Stats{
		Calls:     s.stats.calls.Load(),
		Failed:    s.stats.failed.Load(),
		Conflicts: s.stats.conflicts.Load(),
		Snapshots: s.stats.snapshots.Load(),
		Streams:   s.stats.streams.Load(),
		Events:    s.stats.events.Load(),
	}
	if err := s.conn.watch.err(); err != nil {
		out.LastError = err.Error()
	}
	return out
}
