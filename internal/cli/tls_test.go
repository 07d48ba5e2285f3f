package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), name: name}
	a.key, a.cert = a.sign(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a key and a certificate, and writes both; the authority's own is
// signed by itself.
func (a *authority) sign(name string, c *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(1), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
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
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", private)
	return key, signed
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(a.file(file), data, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// pool holds the authority's certificate.
func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *authority) issue(name string) {
	a.sign(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func TestMutualTLS(t *testing.T) {
	ours, others := newAuthority(t, "ca"), newAuthority(t, "ca")
	for _, a := range []*authority{ours, others} {
		a.issue("server")
		a.issue("client")
	}
	pair, err := tls.LoadX509KeyPair(ours.file("server.pem"), ours.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	f.serve(listener, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: ours.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	})))
	address := listener.Addr().String()
	get := func(ca, client *authority) result {
		return f.run("get", "nodes", "--server", address, "--ca", ca.file("ca.pem"),
			"--cert", client.file("client.pem"), "--key", client.file("client.key"))
	}
	get(ours, ours).expect(t, ExitOK, "No resources found\n")

	r := get(others, ours)
	if r.code != ExitUnreachable || !strings.HasPrefix(r.err, "error: cannot reach vrouterd at "+address+": tls: failed to verify certificate: x509: certificate signed by unknown authority") ||
		!strings.HasSuffix(r.err, ": is --ca the authority that signed the server's certificate?\n") {
		t.Errorf("wrong --ca: exit code %d, %s", r.code, r.err)
	}
	r = get(ours, others)
	r.expect(t, ExitUnreachable, "error: cannot reach vrouterd at "+address+
		": tls: unknown certificate authority: does the server know the authority that signed --cert?\n")
	f.run("get", "nodes", "--server", address, "--ca", ours.file("ca.key"), "--cert", ours.file("client.pem"), "--key", ours.file("client.key")).
		expect(t, ExitUsage, "error: --ca: "+ours.file("ca.key")+" holds no certificate in PEM\nSee 'vrouterctl get --help'.\n")

	listener.Close()
	f.server.Stop()
	get(ours, ours).expect(t, ExitUnreachable, "error: cannot reach vrouterd at "+address+": connection refused: is it running?\n")
}
