package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// DefaultPrefix is where vrouter keeps its keys.
const DefaultPrefix = "/vrouter/v1/"

// DefaultTimeout bounds calls, unless the deadline of their context is nearer.
// It is longer than an election in a cluster with etcd's defaults (1 s).
const DefaultTimeout = 5 * time.Second

// defaultPageSize is how many keys a watch reads at once for a snapshot: about
// half a megabyte of endpoints.
const defaultPageSize = 1000

// Config says how to reach a cluster.
type Config struct {
	// Endpoints are URLs (http, https, unix) or host:port, which is TLS when
	// TLS has any file.
	Endpoints []string
	TLS       TLSFiles
	Username  string
	// PasswordFile holds the password; surrounding white space does not count.
	PasswordFile string
	Prefix       string        // of all keys; empty: DefaultPrefix
	Timeout      time.Duration // of a call; zero: DefaultTimeout
	PageSize     int           // keys in a page of a watch's snapshot; zero: 1,000
	Logger       hclog.Logger  // nil: silent
}

// TLSFiles are PEM files. Certificate and key are read again for every
// connection, so that they may be renewed on disk; the authorities are read
// once.
type TLSFiles struct {
	CA   string // authorities that the servers' certificates must come from; empty: the system's
	Cert string // client certificate, with Key
	Key  string
}

// checked is a Config with everything read that can be wrong.
type checked struct {
	Config
	tls      *tls.Config // nil: no endpoint uses TLS
	password string
}

// check reads files and fills defaults. All problems are reported at once.
func (c Config) check() (checked, error) {
	out := checked{Config: c}
	if out.Prefix == "" {
		out.Prefix = DefaultPrefix
	}
	if out.Timeout <= 0 {
		out.Timeout = DefaultTimeout
	}
	if out.PageSize <= 0 {
		out.PageSize = defaultPageSize
	}
	if out.Logger == nil {
		out.Logger = hclog.NewNullLogger()
	}
	var errs []error
	if !strings.HasSuffix(out.Prefix, "/") {
		errs = append(errs, fmt.Errorf("etcd prefix %q: must end in a slash", out.Prefix))
	}
	secure, err := c.secure()
	errs = append(errs, err)
	if secure {
		out.tls, err = c.TLS.load()
		errs = append(errs, err)
	}
	if c.Username != "" {
		out.password, err = readPassword(c.PasswordFile)
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// secure says whether the endpoints use TLS. All do or none, because one
// client speaks one or the other.
func (c Config) secure() (bool, error) {
	if len(c.Endpoints) == 0 {
		return false, errors.New("etcd endpoints: none")
	}
	var plain, secure int
	var errs []error
	for _, e := range c.Endpoints {
		scheme := ""
		if strings.Contains(e, "://") {
			u, err := url.Parse(e)
			if err != nil {
				errs = append(errs, fmt.Errorf("etcd endpoint: %w", err))
				continue
			}
			scheme = u.Scheme
		}
		switch {
		case scheme == "https", scheme == "" && c.TLS != TLSFiles{}:
			secure++
		case scheme == "http", scheme == "unix", scheme == "":
			plain++
		default:
			errs = append(errs, fmt.Errorf("etcd endpoint %s: scheme must be http, https or unix", e))
		}
	}
	switch {
	case plain > 0 && secure > 0:
		errs = append(errs, fmt.Errorf("etcd endpoints %s: some with TLS and some without", strings.Join(c.Endpoints, " ")))
	case plain > 0 && c.TLS != TLSFiles{}:
		errs = append(errs, fmt.Errorf("etcd endpoints %s: certificates are configured, but these do without TLS",
			strings.Join(c.Endpoints, " ")))
	}
	return secure > 0, errors.Join(errs...)
}

func (f TLSFiles) load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var errs []error
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		c.RootCAs = x509.NewCertPool()
		if err != nil {
			errs = append(errs, fmt.Errorf("etcd authorities: %w", err))
		} else if !c.RootCAs.AppendCertsFromPEM(pem) {
			errs = append(errs, fmt.Errorf("etcd authorities: no certificate in %s", f.CA))
		}
	}
	if f.Cert != "" || f.Key != "" {
		if _, err := f.pair(); err != nil {
			errs = append(errs, err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.pair() }
	}
	return c, errors.Join(errs...)
}

func (f TLSFiles) pair() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("etcd client certificate: %w", err)
	}
	return &pair, nil
}

func readPassword(file string) (string, error) {
	if file == "" {
		return "", errors.New("etcd username: needs a password file")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("etcd password: %w", err)
	}
	password := strings.TrimSpace(string(text))
	if password == "" {
		return "", fmt.Errorf("etcd password: %s is empty", file)
	}
	return password, nil
}
