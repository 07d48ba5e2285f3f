package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates, for an hour, that are good for servers and
// clients alike. The files lie in a directory that goes with the test.
type Authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority called name, its own certificate in ca.pem
// and its key in ca.key.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	own := a.certificate(name)
	own.IsCA, own.BasicConstraintsValid, own.KeyUsage = true, true, x509.KeyUsageCertSign
	a.cert, a.key = a.sign(a.dir, "ca", own)
	return a
}

// Issue signs a certificate for name at 127.0.0.1, or at the addresses given,
// and writes it to NAME.pem and its key to NAME.key.
func (a *Authority) Issue(name string, addrs ...net.IP) {
	a.t.Helper()
	a.IssueTo(a.dir, name, addrs...)
}

// IssueTo is Issue with the files, and the authority's ca.pem, in dir. Each
// takes the place of what was there at once.
func (a *Authority) IssueTo(dir, name string, addrs ...net.IP) {
	a.t.Helper()
	c := a.certificate(name)
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	c.DNSNames, c.IPAddresses = []string{name}, addrs
	if len(addrs) == 0 {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	a.sign(dir, name, c)
	a.write(filepath.Join(dir, "ca.pem"), "CERTIFICATE", a.cert.Raw)
}

// File returns the path of a file of the authority's directory.
func (a *Authority) File(name string) string { return filepath.Join(a.dir, name) }

// Pool holds the authority's certificate.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *Authority) certificate(name string) *x509.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

// sign makes a key and a certificate; the first is the authority's own.
func (a *Authority) sign(dir, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(filepath.Join(dir, name+".pem"), "CERTIFICATE", der)
	a.write(filepath.Join(dir, name+".key"), "PRIVATE KEY", private)
	return signed, key
}

func (a *Authority) write(path, kind string, der []byte) {
	a.t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
}
