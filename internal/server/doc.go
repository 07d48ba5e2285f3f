// Package server is the API of vrouterd: ResourceService, EndpointService and
// NodeService of package vrouter.v1, on a Unix socket and, where configured, on
// TCP with mutual TLS.
//
// What it keeps true: what it stores converts to the checked form of package
// resource; every write is one compare-and-swap; an address key exists if and
// only if the endpoint that it names has that address, because endpoints are
// written and removed in one place, whichever service is called; two pools
// never overlap; a locked cluster is not written to. An error of the domain has
// one gRPC code, given in errors.go.
//
// What it does not do: it keeps no state beside connections, answers reads from
// the store and never from memory, and takes no shortcut to the agent: what is
// registered here is learned through the store's watch, on this host too. The
// file mode authorises on the Unix socket; on TCP a client certificate of the
// right CA does, and a grpc authz policy where one is given.
package server
