package server

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// spread returns n addresses, each in a block of its own.
func spread(third, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("10.0.%d.%d", third+i/4, 64*(i%4)+1))
	}
	return out
}

// TestAddressLimit: an endpoint has as many addresses as one transaction takes,
// with a move to as many others as long as those are not of very many blocks.
func TestAddressLimit(t *testing.T) {
	r := newRig(t)
	list := func(third, n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("10.0.%d.%d", third, i+1))
		}
		return out
	}
	r.register(registration("full", list(1, maxAddresses)...))
	r.register(registration("full", list(2, maxAddresses)...))
	r.consistent()
	at := r.revision()
	_, err := r.endpoints.Register(t.Context(), registration("full", list(3, maxAddresses+1)...))
	wantPaths(t, err, "ipNetworks")
	_, err = r.endpoints.Register(t.Context(), asking("given", &vrouterv1.AddressRequest{Ipv4: maxAddresses - 8, Ipv6: 9}))
	wantPaths(t, err, "allocate")
	_, err = r.endpoints.Register(t.Context(), asking("given", &vrouterv1.AddressRequest{Ipv4: 2000})) // of too many blocks, too
	wantPaths(t, err, "allocate")
	w := (&endpoints{node: "host1"}).endpoint(registration("put", list(3, maxAddresses+1)...))
	w.Metadata.Name = proto.String("host1-vms-put-eth0")
	_, err = r.try(apply, w)
	wantPaths(t, err, "spec.ipNetworks")
	if r.revision() != at {
		t.Error("a refused call has written")
	}
	r.register(registration("spread", spread(10, maxAddresses)...))
	at = r.revision()
	_, err = r.endpoints.Register(t.Context(), registration("spread", spread(100, maxAddresses)...))
	wantPaths(t, err, "ipNetworks")
	if r.revision() != at {
		t.Error("a refused call has written")
	}
	r.register(registration("spread", spread(100, 1)...))
	r.consistent()
}
