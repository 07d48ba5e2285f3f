package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/internal/store/etcd"
)

// storeMetrics shows what the store has counted, when somebody asks.
type storeMetrics struct{ stats func() etcd.Stats }

// storeCounter is one of the counters: where it is found, and how it is shown.
type storeCounter struct {
	desc  *prometheus.Desc
	value uint64
}

func (m storeMetrics) counters() []storeCounter {
	s := m.stats()
	counter := func(name, help string, value uint64) storeCounter {
		return storeCounter{prometheus.NewDesc("vrouter_store_"+name, help, nil, nil), value}
	}
	return []storeCounter{
		counter("calls_total", "Calls to the store: reads, transactions, leases.", s.Calls),
		counter("calls_failed_total", "Calls that the store did not answer, or refused.", s.Failed),
		counter("conflicts_total", "Transactions that lost against another writer.", s.Conflicts),
		counter("snapshots_total", "Times that a watch read everything: once at the start, then after history was lost.", s.Snapshots),
		counter("streams_total", "Times that a watch was opened: once at the start, then after connection or leader were lost.", s.Streams),
		counter("events_total", "Changes that watches were told.", s.Events),
	}
}

// Describe implements prometheus.Collector.
func (m storeMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.counters() {
		ch <- c.desc
	}
}

// Collect implements prometheus.Collector.
func (m storeMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.counters() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.value))
	}
}
