package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/credentials"
)

// certificates holds the node's certificate and the CAs it trusts, read again
// when a file has changed. Looking is a matter of three stats, so it happens at
// each handshake, and no timer delays a renewal.
type certificates struct {
	files TCP
	log   hclog.Logger
	now   atomic.Pointer[material]
}

// material is what was read from one version of the files.
type material struct {
	version [3]fs.FileInfo
	cert    tls.Certificate
	cas     *x509.CertPool
}

func newCertificates(files TCP, log hclog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log}
	version, err := c.look()
	if err != nil {
		return nil, err
	}
	m, err := c.load(version)
	if err != nil {
		return nil, err
	}
	c.now.Store(m)
	return c, nil
}

// server returns the TLS configuration for accepting: a client needs a
// certificate of our CAs. Sessions are not resumed, lest a ticket outlives the
// CA that its holder was admitted by.
func (c *certificates) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := c.current()
			return &tls.Config{
				MinVersion:             tls.VersionTLS13,
				Certificates:           []tls.Certificate{m.cert},
				ClientAuth:             tls.RequireAndVerifyClientCert,
				ClientCAs:              m.cas,
				SessionTicketsDisabled: true,
			}, nil
		},
	}
}

// client returns the TLS configuration for calling another node.
func (c *certificates) client() *tls.Config {
	m := c.current()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{m.cert},
		RootCAs:      m.cas,
	}
}

// current returns the newest certificate and CAs that could be read.
func (c *certificates) current() *material {
	old := c.now.Load()
	version, err := c.look()
	if err != nil || same(version, old.version) {
		return old // a file that is away is about to be replaced
	}
	read, err := c.load(version)
	if err != nil {
		// The next try is at the next change: half of a pair may have been written.
		read = &material{version: version, cert: old.cert, cas: old.cas}
	}
	if !c.now.CompareAndSwap(old, read) {
		return c.now.Load()
	}
	if err != nil {
		c.log.Warn("certificate not usable, keeping the last", "error", err)
	} else {
		c.log.Info("certificate read again")
	}
	return read
}

func (c *certificates) look() ([3]fs.FileInfo, error) {
	var version [3]fs.FileInfo
	for i, file := range []string{c.files.CA, c.files.Cert, c.files.Key} {
		info, err := os.Stat(file)
		if err != nil {
			return version, fmt.Errorf("look at certificate: %w", err)
		}
		version[i] = info
	}
	return version, nil
}

func same(a, b [3]fs.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

func (c *certificates) load(version [3]fs.FileInfo) (*material, error) {
	cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", c.files.Cert, err)
	}
	pem, err := os.ReadFile(c.files.CA)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	cas := x509.NewCertPool()
	if !cas.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA %s: no certificate in it", c.files.CA)
	}
	return &material{version: version, cert: cert, cas: cas}, nil
}

// noted are credentials that log the handshakes they refuse: a client is told
// little of why, and grpc itself says nothing.
type noted struct {
	credentials.TransportCredentials
	log hclog.Logger
}

// ServerHandshake does the handshake on a connection accepted.
func (n noted) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := n.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		n.log.Info("client refused", "peer", raw.RemoteAddr().String(), "error", err)
	}
	return c, info, err
}

// Clone returns a copy.
func (n noted) Clone() credentials.TransportCredentials {
	return noted{n.TransportCredentials.Clone(), n.log}
}
