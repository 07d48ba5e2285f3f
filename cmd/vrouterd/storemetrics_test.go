package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
)

func gathered(t *testing.T, m storeMetrics) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetHelp() == "" || !strings.HasPrefix(f.GetName(), "vrouter_store_") {
			t.Errorf("metric %s has no help, or a name of others", f.GetName())
		}
		got[strings.TrimPrefix(f.GetName(), "vrouter_store_")] = f.GetMetric()[0].GetCounter().GetValue()
	}
	return got
}

func TestStoreMetrics(t *testing.T) {
	got := gathered(t, storeMetrics{func() etcd.Stats {
		return etcd.Stats{Calls: 6, Failed: 5, Conflicts: 4, Snapshots: 3, Streams: 2, Events: 1}
	}})
	want := map[string]float64{
		"calls_total": 6, "calls_failed_total": 5, "conflicts_total": 4, "snapshots_total": 3, "streams_total": 2, "events_total": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStoreMetricsOfEmbeddedStore(t *testing.T) {
	db, err := etcd.Embedded(t.Context(), etcd.EmbeddedConfig{
		DataDir: t.TempDir(), Prefix: "/vrouter/v1/", Logger: hclog.NewNullLogger(),
		Timeout: time.Minute, // a disk that compilers write to may take seconds
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := store.ElectKey("x")
	for i, want := range []error{nil, store.ErrConflict} {
		_, err := db.Txn(t.Context(), []store.Compare{{Key: key}}, []store.Op{{Key: key, Value: []byte("v")}})
		if !errors.Is(err, want) {
			t.Fatalf("transaction %d: %v, want %v", i, err, want)
		}
	}
	got := gathered(t, storeMetrics{db.Stats})
	if got["calls_total"] < 2 || got["conflicts_total"] != 1 {
		t.Errorf("two transactions, of which one lost: %v", got)
	}
}
