package cli

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// client is the connection to one vrouterd. Unary calls get the deadline of
// --timeout; errors of any call are either *unreachableError or a gRPC status.
type client struct {
	conn      *grpc.ClientConn
	link      *link
	timeout   time.Duration // of a unary call; zero: none
	resources vrouterv1.ResourceServiceClient
	endpoints vrouterv1.EndpointServiceClient
	addresses vrouterv1.IPAMServiceClient
	nodes     vrouterv1.NodeServiceClient
	datastore vrouterv1.DatastoreServiceClient
}

// largestAnswer that is taken: a page of 500 objects of the largest kind.
const largestAnswer = 64 << 20

// silence after which a watch asks whether the other end is still there; the
// server takes such questions from 10 s on.
const silence = 20 * time.Second

// connect returns the client of this run, made at the first use. It sends
// nothing yet.
func (a *app) connect() (*client, error) {
	if a.client != nil {
		return a.client, nil
	}
	if a.flags.timeout < 0 {
		return nil, usagef("--timeout %s: must not be negative", a.flags.timeout)
	}
	network, address, err := a.server()
	if err != nil {
		return nil, err
	}
	link := &link{server: a.flags.server, network: network, address: address}
	creds := insecure.NewCredentials()
	if network == "tcp" {
		if creds, err = a.flags.tls(); err != nil {
			return nil, err
		}
	}
	// The passthrough resolver leaves names to the dialer. WithNoProxy: the
	// fabric's control plane must not depend on the user's HTTP proxy.
	target := "passthrough:///" + address
	if network == "unix" {
		target = "passthrough:///localhost"
	}
	c := &client{link: link, timeout: a.flags.timeout}
	c.conn, err = grpc.NewClient(target,
		grpc.WithTransportCredentials(recorder{creds, link}),
		grpc.WithContextDialer(link.dial),
		grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: silence, Timeout: silence / 2}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestAnswer)),
		grpc.WithUnaryInterceptor(c.unary),
		grpc.WithStreamInterceptor(c.stream),
		grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		return nil, usagef("--server %s: %w", a.flags.server, err)
	}
	c.resources = vrouterv1.NewResourceServiceClient(c.conn)
	c.endpoints = vrouterv1.NewEndpointServiceClient(c.conn)
	c.addresses = vrouterv1.NewIPAMServiceClient(c.conn)
	c.nodes = vrouterv1.NewNodeServiceClient(c.conn)
	c.datastore = vrouterv1.NewDatastoreServiceClient(c.conn)
	a.client = c
	return c, nil
}

// close ends the connection, if there is one.
func (a *app) close() {
	if a.client != nil {
		a.client.conn.Close()
	}
}

// server splits --server into network and address.
func (a *app) server() (network, address string, err error) {
	text := a.flags.server
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		text = path
	} else if path, ok := strings.CutPrefix(text, "unix:"); ok {
		text = path
	}
	if strings.HasPrefix(text, "/") {
		return "unix", text, nil
	}
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || strings.ContainsAny(text, "/@") {
		return "", "", usagef("%s %q: want unix:///PATH or HOST:PORT", a.source("server", "VROUTER_SERVER"), a.flags.server)
	}
	return "tcp", text, nil
}

// unary gives a call the deadline of --timeout, unless it has one.
func (c *client) unary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if _, ok := ctx.Deadline(); !ok && c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	err := c.translate(invoke(ctx, method, request, reply, conn, options...))
	if status.Code(err) == codes.DeadlineExceeded && len(status.Convert(err).Details()) == 0 {
		return status.Errorf(codes.DeadlineExceeded, "no answer from vrouterd within %s (--timeout)", c.timeout)
	}
	return err
}

// stream translates the errors of a stream, which has no deadline of its own.
func (c *client) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, conn, method, options...)
	if err != nil {
		return nil, c.translate(err)
	}
	return &translatedStream{s, c}, nil
}

type translatedStream struct {
	grpc.ClientStream
	client *client
}

func (s *translatedStream) SendMsg(m any) error { return s.client.translate(s.ClientStream.SendMsg(m)) }
func (s *translatedStream) RecvMsg(m any) error { return s.client.translate(s.ClientStream.RecvMsg(m)) }
func (s *translatedStream) CloseSend() error    { return s.client.translate(s.ClientStream.CloseSend()) }
