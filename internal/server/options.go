package server

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Options is what a Server stands on.
type Options struct {
	Store    store.Store
	Local    Local
	NodeName string // the node that an empty node in a request means
	// RequirePool refuses endpoints with addresses outside every pool.
	RequirePool bool
	Logger      hclog.Logger
	Socket      Socket
	TCP         TCP
}

// Socket is the Unix socket that local callers use.
type Socket struct {
	Path  string      // empty: no socket
	Mode  fs.FileMode // zero: 0660
	Group string      // name or number of the group that may call; empty: that of the process
}

// TCP is the listener with mutual TLS. The files are in PEM; a changed file is
// used from the next connection on.
type TCP struct {
	Listen string // host:port; empty: no TCP
	CA     string // file: the CAs that sign clients' certificates, and those of other nodes
	Cert   string // file: the certificate of this node, for serving and for calling other nodes
	Key    string // file
	// PolicyFile is a gRPC authorisation policy (gRFC A43), empty: every client
	// with a certificate may make every call.
	PolicyFile string
}

func (o *Options) check() error {
	var problems []error
	missing := func(bad bool, what string) {
		if bad {
			problems = append(problems, errors.New(what))
		}
	}
	missing(o.Store == nil, "no store")
	missing(o.Local == nil, "no local node")
	missing(o.NodeName == "", "no node name")
	missing(o.Logger == nil, "no logger")
	missing(o.Socket.Path == "" && o.TCP.Listen == "", "neither a socket nor a TCP address")
	missing(o.TCP.Listen != "" && (o.TCP.CA == "" || o.TCP.Cert == "" || o.TCP.Key == ""),
		"TCP without CA, certificate and key")
	if len(problems) > 0 {
		return fmt.Errorf("options of the API server: %w", errors.Join(problems...))
	}
	return nil
}
