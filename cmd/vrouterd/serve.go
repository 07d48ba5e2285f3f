package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/engine"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/rtnetlink"
	"github.com/projectvrouter/vrouter/internal/agent"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/server"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/internal/version"
	"github.com/projectvrouter/vrouter/reflector"
)

// task is one of the things a daemon does until it ends.
type task struct {
	name string
	run  func(context.Context) error
}

// hostGC is how much garbage there may be on a host, in percent of what is in
// use. Memory belongs to its workloads, and there is little garbage to collect:
// it saves 13 MiB of 80 at 10,000 routes, and costs nothing that can be measured.
const hostGC = 50

// serve runs the daemon until ctx ends. It leaves routes, sessions and data in
// place for the next one.
func serve(ctx context.Context, cfg config.Config, role string) (err error) {
	log, levels := telemetry.NewLogger(telemetry.LogOptions{Level: cfg.Log.Level, Levels: cfg.Log.Levels, JSON: cfg.Log.JSON})
	held, err := lock(cfg.API.Socket)
	if err != nil {
		return err
	}
	defer held.Close()
	log.Info("vrouterd starts", "version", version.String(), "role", role, "node", cfg.Node.Name)
	if role == agent.RoleAgent && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(hostGC)
	}

	known, err := loadCopy(cfg, log)
	if err != nil {
		return err
	}
	db, err := openStore(ctx, cfg, known, log.Named("store"))
	if err != nil {
		return err
	}
	defer db.Close()

	health := telemetry.NewHealth(agent.Conditions()...)
	speaker := engine.New(log.Named("bgp"))
	opts := agent.Options{
		Store: db, LeaseTTL: cfg.Store.LeaseTTL, Speaker: speaker, BGP: bgpOptions(cfg),
		Origins: origins{speaker}, OriginCheck: cfg.Reflector.OriginCheck,
		Copy: known, CopyPath: cfg.Store.CopyFile, Levels: levels, Health: health, Logger: log.Named("agent"),
	}
	var tasks []task
	if exporter := monitoring(cfg, speaker, log); exporter != nil {
		opts.Stations = exporter.Stations
		tasks = append(tasks, task{"bmp", exporter.Run})
	}
	opts.Dump = dump(speaker)
	if role == agent.RoleAgent {
		more, closeKernel, err := dataplane(cfg, &opts, log)
		if err != nil {
			return err
		}
		defer closeKernel()
		tasks = append(tasks, more...)
		more, closePolicy, err := policing(ctx, cfg, &opts, log)
		if err != nil {
			return err
		}
		defer closePolicy()
		tasks = append(tasks, more...)
	}
	found, err := newDetector(ctx, cfg, log.Named("host"))
	if err != nil {
		return err
	}
	defer found.Close()
	opts.Detections = found.State
	if opts.Identity, err = identity(cfg, role, found); err != nil {
		return err
	}
	a := agent.New(opts)
	tasks = append(tasks, task{"detection", func(ctx context.Context) error {
		return found.Run(ctx, func() { a.SetIdentity(identify(opts.Identity, cfg, found)) })
	}})
	if role == agent.RoleAgent {
		tasks = append(tasks, task{"host interfaces", func(ctx context.Context) error { return found.FollowInterfaces(ctx, a.SetInterfaces) }})
	}
	api, err := server.New(apiOptions(cfg, db, a, log))
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(health, a, storeMetrics{db.Stats}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	web := telemetry.NewServer(telemetry.ServerOptions{
		Listen: cfg.Metrics.Listen, Pprof: cfg.Metrics.Pprof, Gatherer: metrics, Health: health, Logger: log.Named("telemetry"),
	})
	tasks = append(tasks,
		task{"agent", a.Run}, task{"api", api.Run}, task{"telemetry", web.Run},
		task{"systemd", telemetry.NewNotifier(health, log.Named("systemd")).Run},
		task{"health", func(ctx context.Context) error { return followHealth(ctx, health, api, log) }})
	return errors.Join(runAll(ctx, tasks), opts.Speaker.Stop(context.WithoutCancel(ctx), true))
}

func apiOptions(cfg config.Config, db store.Store, local server.Local, log hclog.Logger) server.Options {
	return server.Options{
		Store: db, Local: local, NodeName: cfg.Node.Name, RequirePool: cfg.Workloads.RequirePool, Logger: log.Named("api"),
		Socket: server.Socket{Path: cfg.API.Socket, Mode: cfg.API.SocketMode, Group: cfg.API.SocketGroup},
		TCP: server.TCP{
			Listen: cfg.API.Listen, CA: cfg.API.TLS.CAFile, Cert: cfg.API.TLS.CertFile, Key: cfg.API.TLS.KeyFile,
			PolicyFile: cfg.API.PolicyFile,
		},
	}
}

// origins is agent.OriginChecker on the engine.
type origins struct{ *engine.Engine }

// CheckOrigins has the engine ask o; nil: nobody.
func (e origins) CheckOrigins(o *reflector.Origins) {
	if o == nil {
		e.SetOrigins(nil)
		return
	}
	e.SetOrigins(o)
}

// runAll runs tasks until ctx ends or one of them fails.
func runAll(ctx context.Context, tasks []task) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		group.Go(func() error {
			if err := t.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// followHealth tells the API's health service, and the log, whether the node is
// ready.
func followHealth(ctx context.Context, health *telemetry.Health, api *server.Server, log hclog.Logger) error {
	was := false
	for {
		changed := health.Changed()
		ready, conditions := health.Ready()
		api.SetReady(ready)
		switch {
		case ready && !was:
			log.Info("node is ready")
		case was && !ready:
			log.Warn("node is not ready", "error", unready(conditions))
		}
		was = ready
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// unready says what a node lacks to be ready.
func unready(conditions []telemetry.Condition) string {
	var missing []string
	for _, c := range conditions {
		if !c.Ready {
			missing = append(missing, c.Name+": "+c.Reason)
		}
	}
	return strings.Join(missing, "; ")
}

// loadCopy reads the local copy. A damaged one is worth less than none: it is
// reported, and the start waits for the store.
func loadCopy(cfg config.Config, log hclog.Logger) (store.Copy, error) {
	known, err := store.LoadCopy(cfg.Store.CopyFile)
	switch {
	case err == nil:
		return known, nil
	case errors.Is(err, fs.ErrNotExist):
		return store.Copy{}, nil
	case errors.Is(err, store.ErrDamagedCopy):
		log.Error("local copy is damaged and not used", "path", cfg.Store.CopyFile, "error", err)
		return store.Copy{}, nil
	}
	return store.Copy{}, fmt.Errorf("local copy: %w", err)
}

// openStore connects to etcd, or starts the embedded one where nothing says
// that this host belongs to another store.
func openStore(ctx context.Context, cfg config.Config, known store.Copy, log hclog.Logger) (*etcd.Store, error) {
	if cfg.Store.Mode == config.Etcd {
		return etcd.New(etcd.Config{
			Endpoints: cfg.Store.Endpoints,
			TLS:       etcd.TLSFiles{CA: cfg.Store.TLS.CAFile, Cert: cfg.Store.TLS.CertFile, Key: cfg.Store.TLS.KeyFile},
			Username:  cfg.Store.Username, PasswordFile: cfg.Store.PasswordFile, Prefix: cfg.Store.Prefix, Logger: log,
		})
	}
	if known.GUID != "" && !cfg.Store.ModeGiven && !hasStore(cfg.Store.DataDir) {
		return nil, fmt.Errorf("store: no endpoints are configured, but %s is a copy of cluster %s: "+
			"state store.endpoints, or store.mode: embedded to begin anew", cfg.Store.CopyFile, known.GUID)
	}
	return etcd.Embedded(ctx, etcd.EmbeddedConfig{DataDir: cfg.Store.DataDir, Prefix: cfg.Store.Prefix, Logger: log})
}

// dataplane plugs the kernel in.
func dataplane(cfg config.Config, opts *agent.Options, log hclog.Logger) ([]task, func(), error) {
	kernel, err := rtnetlink.New(rtnetlink.Options{})
	if err != nil {
		return nil, nil, fmt.Errorf("open the kernel's routes: %w", err)
	}
	host, err := hostnet.Open(log.Named("host"), hostnet.KernelSysctls())
	if err != nil {
		kernel.Close()
		return nil, nil, fmt.Errorf("open the kernel's interfaces: %w", err)
	}
	if err := host.Prepare(isWorkload(cfg.Workloads.InterfacePrefixes)); err != nil {
		log.Named("host").Error("host is not set up as it should be", "error", err)
	}
	watcher := hostnet.NewWatcher(log.Named("host"))
	opts.Interfaces = interfaces{Watcher: watcher, host: host}
	opts.Table = fib.New(kernel, tableOptions(cfg, log.Named("fib")))
	closeKernel := func() {
		host.Close()
		kernel.Close()
	}
	return []task{{"interfaces", watcher.Run}}, closeKernel, nil
}

func tableOptions(cfg config.Config, log hclog.Logger) fib.Options {
	return fib.Options{
		Protocols: [4]uint8(protocols(cfg)),
		Metric:    cfg.FIB.Metric, Table: cfg.FIB.Table, PlainOnly: !cfg.FIB.NexthopObjects, ObjectBase: cfg.FIB.NexthopIDBase,
		ReadBack: cfg.FIB.ReadBack, Report: []fib.Source{fib.Workload, fib.Blackhole}, Logger: log,
	}
}

// protocols are the route protocol numbers of the sources, in their order.
func protocols(cfg config.Config) []uint8 {
	p := cfg.FIB.Protocols
	return []uint8{p.Workload, p.Overlay, p.BGP, p.Blackhole}
}

// identity puts together what the configuration says of this host and what the
// host shows.
func identity(cfg config.Config, role string, found *detector) (agent.Identity, error) {
	host, err := hostID(filepath.Dir(cfg.Store.CopyFile))
	if err != nil {
		return agent.Identity{}, fmt.Errorf("host id: %w", err)
	}
	id := agent.Identity{
		Name: cfg.Node.Name, Role: role, HostID: host, BootID: uuid.NewString(),
		Configured: agent.NodeFields{
			IPv4: cfg.Node.IPv4, IPv6: cfg.Node.IPv6, ASNumber: cfg.Node.ASNumber,
			ClusterID: cfg.Node.RouteReflectorClusterID, Labels: cfg.Node.Labels,
		},
		HasAddress: hasAddress,
	}
	return identify(id, cfg, found), nil
}

// identify puts into id what was found, and where its API is.
func identify(id agent.Identity, cfg config.Config, found *detector) agent.Identity {
	found.Identify(&id, cfg.Node)
	id.APIAddress = apiAddress(cfg, id)
	return id
}

// hasAddress reports whether an address is one of this host's.
func hasAddress(a netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return true // not known: nothing is concluded from it
	}
	for _, own := range all {
		if p, err := netip.ParsePrefix(own.String()); err == nil && p.Addr() == a {
			return true
		}
	}
	return false
}

// apiAddress is where other nodes may call this one; empty: nowhere.
func apiAddress(cfg config.Config, id agent.Identity) string {
	if cfg.API.Advertise != "" || cfg.API.Listen == "" {
		return cfg.API.Advertise
	}
	host, port, err := net.SplitHostPort(cfg.API.Listen)
	if err != nil { // config has checked it
		return ""
	}
	if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() {
		return cfg.API.Listen
	}
	for _, p := range []netip.Prefix{id.Configured.IPv4, id.Detected.IPv4, id.Configured.IPv6, id.Detected.IPv6} {
		if p.IsValid() {
			return net.JoinHostPort(p.Addr().String(), port)
		}
	}
	return ""
}

func bgpOptions(cfg config.Config) agent.BGPOptions {
	opts := agent.BGPOptions{
		Settings: bgp.Settings{
			ListenPort: cfg.BGP.ListenPort, ListenAddresses: cfg.BGP.ListenAddresses,
			RestartTime: cfg.BGP.GracefulRestartTime, Deferral: cfg.BGP.AdvertiseDelay,
		},
		Defaults:    resource.SessionSettings{HoldTime: &cfg.BGP.HoldTime, ConnectRetry: &cfg.BGP.ConnectRetry},
		Accept:      cfg.BGP.Accept,
		MeshWarning: cfg.BGP.MeshMaxNodes,
		RetireTime:  cfg.BGP.RetireTime,
		Secret:      secretFile(cfg.BGP.SecretsDir),
	}
	for _, p := range cfg.BGP.Peers {
		peer := &resource.BGPPeer{
			Meta:   resource.Meta{ID: resource.ID{Kind: resource.KindBGPPeer, Name: p.Name}},
			PeerIP: p.Addr.Addr(), PeerPort: p.Addr.Port(), ASNumber: p.ASNumber,
		}
		if p.PasswordFile != "" {
			peer.Settings.Password = &resource.SecretRef{File: p.PasswordFile}
		}
		if p.TTLSecurity != 0 {
			peer.Settings.TTLSecurity = &p.TTLSecurity
		}
		opts.Peers = append(opts.Peers, peer)
	}
	return opts
}
