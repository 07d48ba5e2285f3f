package main

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/controller"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/internal/version"
)

// control runs a controller until ctx ends. It serves no API and holds no name
// of a node: it may run beside the daemon of a host, or anywhere.
func control(ctx context.Context, cfg config.Config) error {
	if cfg.Store.Mode != config.Etcd {
		return usageError{errors.New("store.endpoints is needed: a controller is for a cluster")}
	}
	log, _ := telemetry.NewLogger(telemetry.LogOptions{Level: cfg.Log.Level, Levels: cfg.Log.Levels, JSON: cfg.Log.JSON})
	log.Info("vrouterd starts", "version", version.String(), "role", "controller", "node", cfg.Node.Name)
	db, err := openStore(ctx, cfg, store.Copy{}, log.Named("store"))
	if err != nil {
		return err
	}
	defer db.Close()
	health := telemetry.NewHealth(controller.Conditions()...)
	c := controller.New(controller.Options{
		Name: cfg.Node.Name + "/" + uuid.NewString(), Store: db, LeaseTTL: cfg.Store.LeaseTTL,
		Limits: controller.Limits{HoldOff: cfg.Controller.HoldOff, Retire: cfg.Controller.RetireAfter},
		Health: health, Logger: log.Named("controller"),
	})
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(health, c, storeMetrics{db.Stats}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	web := telemetry.NewServer(telemetry.ServerOptions{
		Listen: cfg.Metrics.Listen, Pprof: cfg.Metrics.Pprof, Gatherer: metrics, Health: health, Logger: log.Named("telemetry"),
	})
	return runAll(ctx, []task{
		{"controller", c.Run}, {"telemetry", web.Run}, {"systemd", telemetry.NewNotifier(health, log.Named("systemd")).Run},
	})
}
