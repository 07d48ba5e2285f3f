package cli

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/projectvrouter/vrouter/internal/testenv"
)

func TestMutualTLS(t *testing.T) {
	ours, others := testenv.NewAuthority(t, "ca"), testenv.NewAuthority(t, "ca")
	for _, a := range []*testenv.Authority{ours, others} {
		a.Issue("server")
		a.Issue("client")
	}
	pair, err := tls.LoadX509KeyPair(ours.File("server.pem"), ours.File("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	f.serve(listener, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: ours.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	})))
	address := listener.Addr().String()
	get := func(ca, client *testenv.Authority) result {
		return f.run("get", "nodes", "--server", address, "--ca", ca.File("ca.pem"),
			"--cert", client.File("client.pem"), "--key", client.File("client.key"))
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
	f.run("get", "nodes", "--server", address, "--ca", ours.File("ca.key"), "--cert", ours.File("client.pem"), "--key", ours.File("client.key")).
		expect(t, ExitUsage, "error: --ca: "+ours.File("ca.key")+" holds no certificate in PEM\nSee 'vrouterctl get --help'.\n")

	listener.Close()
	f.server.Stop()
	get(ours, ours).expect(t, ExitUnreachable, "error: cannot reach vrouterd at "+address+": connection refused: is it running?\n")
}
