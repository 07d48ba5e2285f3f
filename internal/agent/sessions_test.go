package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// configObject is the BGPConfiguration of that name.
func configObject(name string, set func(*vrouterv1.BGPConfigurationSpec)) *vrouterv1.BGPConfiguration {
	spec := &vrouterv1.BGPConfigurationSpec{}
	set(spec)
	return &vrouterv1.BGPConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String(name)}, Spec: spec}
}

// torObject is a BGPPeer for all nodes with a router at 192.0.2.254.
func torObject(set func(*vrouterv1.BGPPeerSpec)) *vrouterv1.BGPPeer {
	spec := &vrouterv1.BGPPeerSpec{PeerIp: proto.String("192.0.2.254"), AsNumber: structpb.NewNumberValue(65001)}
	set(spec)
	return &vrouterv1.BGPPeer{Metadata: &vrouterv1.Metadata{Name: proto.String("tor")}, Spec: spec}
}

// wantedSession is the session with the router, nil if there is none.
func (r *rig) wantedSession() *bgp.Session {
	wanted, _ := r.agent.sessions.Wanted()
	for _, s := range wanted {
		if s.Peer == netip.MustParseAddr("192.0.2.254") {
			return &s
		}
	}
	return nil
}

func TestCommunitiesOfOurRoutes(t *testing.T) {
	advertise := func(name, cidr string, communities ...string) *vrouterv1.BGPConfiguration {
		return configObject(name, func(s *vrouterv1.BGPConfigurationSpec) {
			s.PrefixAdvertisements = []*vrouterv1.PrefixAdvertisement{{Cidr: &cidr, Communities: communities}}
		})
	}
	withRig(t, func(t *testing.T, r *rig) {
		carries := func(communities []bgp.Community, large []bgp.LargeCommunity) {
			t.Helper()
			want := bgp.Attributes{Communities: communities, LargeCommunities: large, Interface: "w-a", LocalPref: bgp.DefaultLocalPref}
			for e := range r.speaker.Routes(bgp.Query{Within: pfx("10.0.0.1/32")}) {
				got := bgp.Attributes{Communities: e.Communities, LargeCommunities: e.LargeCommunities, Interface: e.Interface, LocalPref: e.LocalPref}
				if !got.Equal(want) {
					t.Errorf("it carries %+v, want %+v", got, want)
				}
				return
			}
			t.Error("it is not originated")
		}
		r.kernel.AddLink("w-a")
		r.put(advertise("default", "10.0.0.0/16", "64512:7", "64512:1:2"))
		r.start()
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		carries([]bgp.Community{64512<<16 | 7}, []bgp.LargeCommunity{{Global: 64512, Local1: 1, Local2: 2}})
		// A node's own list takes the place of the cluster's, at once.
		r.put(advertise("node.host1", "10.0.0.0/24", "64512:9", "64512:8", "64512:9"))
		carries([]bgp.Community{64512<<16 | 8, 64512<<16 | 9}, nil)
		r.put(advertise("node.host1", "10.0.1.0/24", "64512:9"))
		carries(nil, nil)
	})
}

func TestPasswordFileIsReadAgain(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		var mu sync.Mutex // guards secret and broken
		secret, broken := "", error(nil)
		set := func(value string, err error) {
			mu.Lock()
			defer mu.Unlock()
			secret, broken = value, err
		}
		read := func(name string) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case broken != nil:
				return nil, broken
			case name != "tor" || secret == "":
				return nil, fs.ErrNotExist
			}
			return []byte(secret + "\n"), nil
		}
		r.put(torObject(func(s *vrouterv1.BGPPeerSpec) { s.Password = &vrouterv1.BGPPassword{File: proto.String("tor")} }))
		r.start(func(o *Options) { o.BGP.Secret = read })
		says := func(password bgp.Password, problem string) {
			t.Helper()
			r.pass(secretsPause + time.Second)
			s, problems := r.wantedSession(), strings.Join(r.agent.problems(), "\n")
			if (s == nil) != (problem != "") || s != nil && s.Password != password {
				t.Errorf("session %v", s)
			}
			if !strings.Contains(problems, problem) || problem == "" && problems != "" {
				t.Errorf("problems %q, want %q", problems, problem)
			}
		}
		says("", "password: file tor: file does not exist: no session without it")
		set("one", nil)
		says("one", "")
		set("two", nil)
		says("two", "")
		set("two", errors.New("permission denied"))
		says("", "permission denied")
		set("two", nil)
		says("two", "")
		r.put(torObject(func(*vrouterv1.BGPPeerSpec) {}))
		set("", errors.New("nobody asks"))
		says("", "")
	})
}

// A group, a filter and a secret that change take effect at once, and the
// password of one session is no matter of another.
func TestWhatSessionsReferTo(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		secret := func(value string) *vrouterv1.Secret {
			return &vrouterv1.Secret{Metadata: &vrouterv1.Metadata{Name: proto.String("s")}, Spec: &vrouterv1.SecretSpec{
				StringData: map[string]string{"key": value},
			}}
		}
		filter := func(cidr string) *vrouterv1.BGPFilter {
			return &vrouterv1.BGPFilter{Metadata: &vrouterv1.Metadata{Name: proto.String("f")}, Spec: &vrouterv1.BGPFilterSpec{
				ImportV4: []*vrouterv1.BGPFilterRule{{Cidr: &cidr, MatchOperator: proto.String("Equal"), Action: proto.String("Accept")}},
			}}
		}
		names, err := structpb.NewList([]any{"f"})
		if err != nil {
			t.Fatal(err)
		}
		r.node2()
		r.put(secret("one"))
		r.put(torObject(func(s *vrouterv1.BGPPeerSpec) {
			s.PeerGroup = proto.String("g")
			s.Filters = names
			s.Password = &vrouterv1.BGPPassword{SecretKeyRef: &vrouterv1.SecretKeySelector{Name: proto.String("s"), Key: proto.String("key")}}
		}))
		r.start()
		if r.wantedSession() != nil {
			t.Fatal("a session without its group")
		}
		r.put(&vrouterv1.BGPPeerGroup{Metadata: &vrouterv1.Metadata{Name: proto.String("g")}, Spec: &vrouterv1.BGPSessionSettings{
			Multihop: proto.Uint32(3),
		}})
		before := r.wantedSession()
		if before == nil || before.Multihop != 3 || before.Password != "one" || len(before.Policy.Filters[0].Import) != 2 {
			t.Fatalf("session %+v", before)
		}
		mesh := func() bgp.PeerState {
			for _, p := range r.speaker.Peers() {
				if p.Session.Kind == bgp.Mesh {
					return p
				}
			}
			return bgp.PeerState{}
		}
		other := mesh()
		r.put(filter("0.0.0.0/0"))
		r.put(secret("two"))
		after := r.wantedSession()
		if after.Password != "two" || len(after.Policy.Filters[0].Import) != 1 {
			t.Errorf("session %+v", after)
		}
		if now := mesh(); other.Session.Name == "" || !now.Session.SameAs(other.Session) || now.Since != other.Since {
			t.Error("another session was touched")
		}
		if got := len(r.agent.problems()); got != 0 {
			t.Errorf("problems %v", r.agent.problems())
		}
	})
}

// A host that starts while the store is away has the passwords of the local
// copy, which nobody else may read.
func TestPasswordsOfTheLocalCopy(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		path := filepath.Join(t.TempDir(), "copy")
		r.put(&vrouterv1.Secret{Metadata: &vrouterv1.Metadata{Name: proto.String("s")}, Spec: &vrouterv1.SecretSpec{
			StringData: map[string]string{"key": "kept"},
		}})
		r.put(torObject(func(s *vrouterv1.BGPPeerSpec) {
			s.Password = &vrouterv1.BGPPassword{SecretKeyRef: &vrouterv1.SecretKeySelector{Name: proto.String("s"), Key: proto.String("key")}}
		}))
		r.start(func(o *Options) { o.CopyPath = path })
		r.pass(2 * copyDelay)
		r.end()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the copy is %v, %v", info, err)
		}
		found, err := store.LoadCopy(path)
		if err != nil {
			t.Fatal(err)
		}
		r.client.Disconnect()
		r.start(func(o *Options) { o.Copy, o.CopyPath = found, path })
		r.pass(time.Minute)
		if s := r.wantedSession(); s == nil || s.Password != "kept" {
			t.Errorf("session %v", s)
		}
		status, err := r.agent.Status(t.Context())
		if err != nil || strings.Contains(fmt.Sprintf("%v %+v", status, r.wantedSession()), "kept") {
			t.Errorf("the password is shown: %v, %v", status, err)
		}
	})
}

// maxPaths bounds learned routes at once, those that stand already as well.
func TestMaxPathsOfLearnedRoutes(t *testing.T) {
	most := func(n uint32) *vrouterv1.BGPConfiguration {
		return configObject("default", func(s *vrouterv1.BGPConfigurationSpec) { s.MaxPaths = &n })
	}
	withRig(t, func(t *testing.T, r *rig) {
		r.node2()
		r.start()
		r.peer().originate("10.0.3.3/32")
		r.third("10.0.3.3/32")
		wanted := func(route string) {
			t.Helper()
			if got := r.routes(); !strings.HasPrefix(got, "10.0.3.3/32 group("+route+") proto 120") {
				t.Errorf("routes %s, want it to go %s", got, route)
			}
		}
		wanted("via 192.0.2.2 dev up0 + via 192.0.2.3 dev up0")
		r.put(most(1))
		wanted("via 192.0.2.2 dev up0")
		r.put(most(2))
		wanted("via 192.0.2.2 dev up0 + via 192.0.2.3 dev up0")
	})
}
