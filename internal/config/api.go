package config

import (
	"io/fs"
	"net"
	"strconv"
	"strings"
)

// maxSocketPath is the room for a socket's name in sockaddr_un, less its
// closing zero.
const maxSocketPath = 107

func (c *checker) api(raw *rawAPI) API {
	a := API{
		Socket:      c.path("api.socket", raw.Socket, "/run/vrouter/vrouterd.sock"),
		SocketGroup: c.filled("api.socketGroup", raw.SocketGroup, ""),
		SocketMode:  c.socketMode("api.socketMode", raw.SocketMode),
		TLS: TLS{
			CAFile:   c.path("api.caFile", raw.CAFile, ""),
			CertFile: c.path("api.certFile", raw.CertFile, ""),
			KeyFile:  c.path("api.keyFile", raw.KeyFile, ""),
		},
		PolicyFile: c.path("api.policyFile", raw.PolicyFile, ""),
	}
	if len(a.Socket) > maxSocketPath {
		c.problem("api.socket", "is longer than a socket's path may be, %d bytes", maxSocketPath)
	}
	if text(raw.Listen, "") == "" {
		c.only("api", "listen", map[string]*string{
			"advertise": raw.Advertise, "caFile": raw.CAFile, "certFile": raw.CertFile,
			"keyFile": raw.KeyFile, "policyFile": raw.PolicyFile,
		})
		return a
	}
	a.Listen = c.listen("api.listen", *raw.Listen)
	c.needed("api.caFile", raw.CAFile != nil, " with listen: TCP is served with mutual TLS only")
	c.needed("api.certFile", raw.CertFile != nil, " with listen")
	c.needed("api.keyFile", raw.KeyFile != nil, " with listen")
	if raw.Advertise != nil {
		a.Advertise = c.hostPort("api.advertise", *raw.Advertise)
	}
	return a
}

// hostPort returns a host:port that can be dialled.
func (c *checker) hostPort(path, value string) string {
	host, port, err := net.SplitHostPort(value)
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || host == "" || strings.ContainsAny(host, "/ "):
		c.problem(path, "%q is not host:port", value)
	case portErr != nil || n == 0:
		c.problem(path, "%q is not a port", port)
	}
	return value
}

// socketMode reads a mode in octal, whether YAML takes it for octal or not:
// 660, 0660, 0o660 and "0660" are the same, as they are for chmod.
func (c *checker) socketMode(path string, raw *scalar) fs.FileMode {
	const or = 0o660
	if raw == nil {
		return or
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(raw.text, "0o"), 8, 32)
	switch {
	case err != nil || n > 0o777:
		c.problem(path, "%q is not a file's mode in octal, such as 0660", raw.text)
	case n&0o600 != 0o600:
		c.problem(path, "%s does not let the owner read and write", raw.text)
	default:
		return fs.FileMode(n)
	}
	return or
}
