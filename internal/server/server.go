package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/authz"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const (
	// maxMessage is the largest request, four times what etcd stores in a value.
	maxMessage = 4 << 20
	// stopTime is how long calls may take to end once the server stops. Watches
	// and waits are ended at once, so only single writes are left.
	stopTime = 5 * time.Second
	// handshakeTime bounds a TLS handshake, which costs an unknown peer nothing.
	handshakeTime = 10 * time.Second
	// policyRefresh is how often the authorisation policy is read again.
	policyRefresh = 5 * time.Second
)

// Server serves the API. Its methods may be called at once.
type Server struct {
	opts   Options
	health *health.Server
	ready  chan struct{} // closed once every listener listens
	tcp    net.Addr      // written before ready is closed
}

// New makes a server; Run starts it.
func New(opts Options) (*Server, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, health: health.NewServer(), ready: make(chan struct{})}
	s.SetReady(false)
	return s, nil
}

// Name names the task.
func (s *Server) Name() string { return "api" }

// Ready is closed once the server listens.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// TCPAddr returns the address that TCP is served on, nil before Ready and
// where there is none.
func (s *Server) TCPAddr() net.Addr {
	select {
	case <-s.ready:
		return s.tcp
	default:
		return nil
	}
}

// SetReady tells the health service whether the node is ready. Calls are
// answered either way.
func (s *Server) SetReady(ready bool) {
	state := healthv1.HealthCheckResponse_NOT_SERVING
	if ready {
		state = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", state)
	for _, service := range []string{
		vrouterv1.ResourceService_ServiceDesc.ServiceName,
		vrouterv1.EndpointService_ServiceDesc.ServiceName,
		vrouterv1.IPAMService_ServiceDesc.ServiceName,
		vrouterv1.NodeService_ServiceDesc.ServiceName,
		vrouterv1.DatastoreService_ServiceDesc.ServiceName,
	} {
		s.health.SetServingStatus(service, state)
	}
}

// door is one listener with the grpc server behind it.
type door struct {
	listener net.Listener
	server   *grpc.Server
}

// Run serves until ctx ends, which is no error. Calls then have a bounded time
// to finish. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	stopping := make(chan struct{})
	doors, closeAll, err := s.open(stopping)
	defer closeAll()
	if err != nil {
		return err
	}
	var g errgroup.Group
	failed := make(chan struct{}, len(doors))
	for _, d := range doors {
		g.Go(func() error {
			defer func() { failed <- struct{}{} }()
			if err := d.server.Serve(d.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("serve the API on %s: %w", d.listener.Addr(), err)
			}
			return nil
		})
	}
	close(s.ready)
	select {
	case <-ctx.Done():
	case <-failed: // one door failed by itself: the daemon must not go on half open
	}
	s.health.Shutdown()
	close(stopping)
	stop(doors)
	return g.Wait()
}

// stop lets calls finish, and ends those that take too long.
func stop(doors []door) {
	var g errgroup.Group
	for _, d := range doors {
		g.Go(func() error {
			timer := time.AfterFunc(stopTime, d.server.Stop)
			defer timer.Stop()
			d.server.GracefulStop()
			return nil
		})
	}
	_ = g.Wait() // nothing in it fails
}

// open listens and builds the servers. closeAll releases what was opened, in
// case of an error too.
func (s *Server) open(stopping <-chan struct{}) (doors []door, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for _, c := range closers {
			c()
		}
	}
	var certs *certificates
	if s.opts.TCP.Listen != "" {
		if certs, err = newCertificates(s.opts.TCP, s.opts.Logger); err != nil {
			return nil, closeAll, fmt.Errorf("TLS of the API: %w", err)
		}
	}
	services := s.services(certs, stopping)
	add := func(l net.Listener, opts ...grpc.ServerOption) {
		closers = append(closers, func() { _ = l.Close() }) // grpc has closed it, or never saw it
		doors = append(doors, door{l, s.build(services, stopping, opts...)})
	}
	if s.opts.Socket.Path != "" {
		l, err := listenUnix(s.opts.Socket)
		if err != nil {
			return nil, closeAll, err
		}
		add(l, grpc.Creds(insecure.NewCredentials()))
	}
	if certs != nil {
		opts, closePolicy, err := policy(s.opts.TCP.PolicyFile)
		if err != nil {
			return nil, closeAll, err
		}
		closers = append(closers, closePolicy)
		l, err := net.Listen("tcp", s.opts.TCP.Listen)
		if err != nil {
			return nil, closeAll, fmt.Errorf("listen for the API: %w", err)
		}
		s.tcp = l.Addr()
		add(l, append(opts, grpc.Creds(noted{credentials.NewTLS(certs.server()), s.opts.Logger}))...)
	}
	return doors, closeAll, nil
}

// policy returns the interceptors of an authorisation policy, which is read
// again when it changes. It is for TCP only: over a Unix socket grpc's engine
// refuses every call, having no address to look at.
func policy(file string) ([]grpc.ServerOption, func(), error) {
	if file == "" {
		return nil, func() {}, nil
	}
	w, err := authz.NewFileWatcher(file, policyRefresh)
	if err != nil {
		return nil, nil, fmt.Errorf("authorisation policy of the API: %w", err)
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(w.UnaryInterceptor),
		grpc.ChainStreamInterceptor(w.StreamInterceptor),
	}, w.Close, nil
}

// services are the implementations behind every door.
type services struct {
	resources *resources
	endpoints *endpoints
	addresses *addresses
	nodes     *nodes
	datastore *datastore
}

func (s *Server) services(certs *certificates, stopping <-chan struct{}) services {
	open := gate(s.opts.Store)
	w := &writer{store: open, requirePool: s.opts.RequirePool, settings: &settings{store: open}}
	w.ipam = ipam.NewClient(open, w.settings)
	w.spares = &spares{client: w.ipam, log: s.opts.Logger, stopping: stopping, busy: make(map[string]bool)}
	r := &reader{store: s.opts.Store, log: s.opts.Logger}
	n := &nodes{local: s.opts.Local, node: s.opts.NodeName, store: s.opts.Store, writer: w, certs: certs, judging: make(chan struct{}, 1)}
	return services{
		resources: &resources{writer: w, reader: r},
		endpoints: &endpoints{writer: w, reader: r, local: s.opts.Local, node: s.opts.NodeName, stopping: stopping},
		addresses: &addresses{writer: w, node: s.opts.NodeName, nodes: n},
		nodes:     n,
		datastore: &datastore{writer: w, store: s.opts.Store, node: s.opts.NodeName},
	}
}

func (s *Server) build(svc services, stopping <-chan struct{}, opts ...grpc.ServerOption) *grpc.Server {
	i := &interceptor{log: s.opts.Logger, stopping: stopping}
	base := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(i.unary),
		grpc.ChainStreamInterceptor(i.stream),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	// The policy, if there is one, stands between the outer and the inner interceptors.
	opts = append(base, opts...)
	opts = append(opts, grpc.ChainUnaryInterceptor(strictUnary))
	g := grpc.NewServer(opts...)
	vrouterv1.RegisterResourceServiceServer(g, svc.resources)
	vrouterv1.RegisterEndpointServiceServer(g, svc.endpoints)
	vrouterv1.RegisterIPAMServiceServer(g, svc.addresses)
	vrouterv1.RegisterNodeServiceServer(g, svc.nodes)
	vrouterv1.RegisterDatastoreServiceServer(g, svc.datastore)
	healthv1.RegisterHealthServer(g, s.health)
	reflection.Register(g)
	return g
}
