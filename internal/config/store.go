package config

import (
	"net/url"
	"strings"
	"time"
)

func (c *checker) store(raw *rawStore) Store {
	s := Store{
		ModeGiven: raw.Mode != nil,
		TLS: TLS{
			CAFile:   c.path("store.caFile", raw.CAFile, ""),
			CertFile: c.path("store.certFile", raw.CertFile, ""),
			KeyFile:  c.path("store.keyFile", raw.KeyFile, ""),
		},
		Username:     c.filled("store.username", raw.Username, ""),
		PasswordFile: c.path("store.passwordFile", raw.PasswordFile, ""),
		Prefix:       c.keyPrefix("store.prefix", raw.Prefix),
		DataDir:      c.path("store.dataDir", raw.DataDir, "/var/lib/vrouter/etcd"),
		LeaseTTL:     c.seconds("store.leaseTTL", raw.LeaseTTL, 15*time.Second, 5*time.Second, 10*time.Minute),
		CopyFile:     c.path("store.copyFile", raw.CopyFile, "/var/lib/vrouter/copy"),
	}
	secure, plain := 0, 0
	for i, e := range raw.Endpoints {
		if c.endpoint(index("store.endpoints", i), e) {
			secure++
		} else {
			plain++
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	if secure > 0 && plain > 0 && !c.badBelow("store.endpoints") {
		c.problem("store.endpoints", "some have TLS and some have not")
	}
	s.Mode = c.storeMode(raw)
	c.needed("store.keyFile", raw.KeyFile != nil || raw.CertFile == nil, " with certFile")
	c.needed("store.certFile", raw.CertFile != nil || raw.KeyFile == nil, " with keyFile")
	c.needed("store.passwordFile", raw.PasswordFile != nil || raw.Username == nil, " with username")
	c.needed("store.username", raw.Username != nil || raw.PasswordFile == nil, " with passwordFile")
	if s.Mode == Etcd && plain > 0 && secure == 0 {
		c.only("store", "an https endpoint", raw.tls())
	}
	return s
}

// storeMode returns the mode, and notes what contradicts it.
func (c *checker) storeMode(raw *rawStore) StoreMode {
	etcdGiven := len(raw.Endpoints) > 0
	if raw.Mode == nil && etcdGiven {
		return Etcd
	}
	mode := StoreMode(c.oneOf("store.mode", raw.Mode, string(Embedded), string(Etcd)))
	switch {
	case mode == Etcd && !etcdGiven:
		c.needed("store.endpoints", false, " with mode etcd")
	case mode == Embedded:
		fields := raw.tls()
		fields["username"] = raw.Username
		fields["passwordFile"] = raw.PasswordFile
		c.only("store", "mode etcd", fields)
		if etcdGiven {
			c.problem("store.endpoints", "has a meaning only with mode etcd")
		}
	}
	return mode
}

func (raw *rawStore) tls() map[string]*string {
	return map[string]*string{"caFile": raw.CAFile, "certFile": raw.CertFile, "keyFile": raw.KeyFile}
}

// endpoint checks the URL of an etcd server and tells whether it has TLS.
func (c *checker) endpoint(path, value string) (secure bool) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix" && u.Scheme != "unixs":
		c.problem(path, "%q is not a URL of the form https://HOST:PORT", value)
	case strings.HasPrefix(u.Scheme, "unix"):
	case u.Hostname() == "" || u.Port() == "":
		c.problem(path, "%q has no host or no port; etcd's is 2379", value)
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		c.problem(path, "%q has more than a host and a port", value)
	}
	return u != nil && strings.HasSuffix(u.Scheme, "s")
}

func (c *checker) keyPrefix(path string, raw *string) string {
	prefix := text(raw, "/vrouter/v1/")
	if len(prefix) < 2 || prefix[0] != '/' || !strings.HasSuffix(prefix, "/") || strings.Contains(prefix, "//") {
		c.problem(path, "%q does not begin and end with a slash, with a name between", prefix)
	}
	return prefix
}
