package server

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestServersAtOnce registers, moves and unregisters a few endpoints, and takes
// and releases addresses for a few handles, through two servers on one store at
// the same time. Whoever comes first, in the end all agrees, and nothing is left
// when everything has been given back.
func TestServersAtOnce(t *testing.T) {
	w := newWorld(t, 1)
	w.rigs[0].settings(&vrouterv1.IPAMConfigurationSpec{})
	var wg sync.WaitGroup
	for n := range 8 {
		r := w.rigs[n%2]
		random := rand.New(rand.NewPCG(uint64(n), 7))
		wg.Go(func() {
			for range 40 {
				err := atOnce(r, random)
				switch status.Code(err) {
				case codes.OK, codes.AlreadyExists, codes.NotFound, codes.FailedPrecondition, codes.ResourceExhausted:
				default:
					t.Errorf("%v", err)
				}
			}
		})
	}
	wg.Wait()
	w.rigs[0].consistent()
	w.held, w.endpoints = w.read()
	w.compare()
	w.end()
}

// atOnce makes one of the calls that meet each other over few names and
// addresses.
func atOnce(r *rig, random *rand.Rand) error {
	ctx := r.t.Context()
	name := fmt.Sprintf("w%d", random.IntN(3))
	address := fmt.Sprintf("10.0.2.%d", random.IntN(8))
	handle := fmt.Sprintf("x%d", random.IntN(2))
	req := registration(name)
	req.Node = fmt.Sprintf("host%d", random.IntN(3))
	var err error
	switch random.IntN(8) {
	case 0, 1: // an address of its own choice: another one each time
		req.IpNetworks = []string{address}
		_, err = r.endpoints.Register(ctx, req)
	case 2: // a move, or a new endpoint
		_, err = r.endpoints.Register(ctx, req)
	case 3: // the address of a handle is taken over
		req.IpNetworks, req.HeldBy = []string{address}, []string{handle}
		_, err = r.endpoints.Register(ctx, req)
	case 4:
		_, err = r.endpoints.Unregister(ctx, &vrouterv1.UnregisterRequest{Id: endpointOf(name)})
	case 5:
		_, err = r.addresses.Allocate(ctx, &vrouterv1.AllocateRequest{Handle: handle, Ipv4: 3, Node: req.Node})
	case 6:
		_, err = r.addresses.Assign(ctx, &vrouterv1.AssignRequest{Handle: handle, Address: address, Node: req.Node})
	case 7:
		_, err = r.addresses.ReleaseByHandle(ctx, &vrouterv1.ReleaseByHandleRequest{Handle: handle})
	}
	return err
}
