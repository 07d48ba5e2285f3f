package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// proxiedBy is the metadata that a passed-on call carries: the node that passed
// it on. Such a call is never passed on again.
const proxiedBy = "vrouter-proxied-by"

// proxied makes a call at another node, at the address that it published, with
// the certificate of this one. Deadline and cancellation go along.
func proxied[R any](ctx context.Context, s *nodes, node string,
	call func(context.Context, vrouterv1.NodeServiceClient) (R, error)) (R, error) {
	var none R
	if by := metadata.ValueFromIncomingContext(ctx, proxiedBy); len(by) > 0 {
		return none, &stateError{"PROXY_LOOP", "node " + node,
			fmt.Sprintf("node %s was asked by node %s for node %s: an address is published wrongly", s.node, by[0], node)}
	}
	address, err := s.apiAddress(ctx, node)
	if err != nil {
		return none, err
	}
	if s.certs == nil {
		return none, &stateError{"NO_CERTIFICATE", "node " + s.node,
			fmt.Sprintf("node %s has no certificate to call node %s with: ask on that host", s.node, node)}
	}
	c, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(s.certs.client())),
		grpc.WithNoProxy()) // that of the environment is for the outside
	if err != nil {
		return none, fmt.Errorf("call node %s at %s: %w", node, address, err)
	}
	defer c.Close()
	return call(metadata.AppendToOutgoingContext(ctx, proxiedBy, s.node), vrouterv1.NewNodeServiceClient(c))
}

// forward passes a stream on, message by message.
func forward[M any](from grpc.ServerStreamingClient[M], to grpc.ServerStreamingServer[M]) error {
	for {
		m, err := from.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := to.Send(m); err != nil {
			return err
		}
	}
}
