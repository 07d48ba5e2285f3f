// Package telemetry is what a running daemon shows of itself: its log, whose
// levels change by subsystem while it runs; its readiness and liveness; an
// HTTP server for metrics, health and profiles; and word to systemd.
//
// It keeps true that a daemon is called ready only while every condition of
// readiness holds, each with the reason why it does not, and that the three
// places that say so (/readyz, systemd, the metric) read the same state.
//
// It decides nothing: what a condition means, and what follows from it,
// belongs to whoever sets it. Readiness never stops forwarding, and liveness
// is only for faults that a restart mends. Server and Notifier are tasks; they
// run until their context ends.
package telemetry
