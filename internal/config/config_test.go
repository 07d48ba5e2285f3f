package config_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/config"
)

// defaults is what a file says that says nothing but a name.
func defaults(name string) config.Config {
	return config.Config{
		Node: config.Node{
			Name:          name,
			IPv4Detection: config.Detection{Method: config.FirstFound}, IPv6Detection: config.Detection{Method: config.FirstFound},
		},
		Store: config.Store{
			Mode:     config.Embedded,
			Prefix:   "/vrouter/v1/",
			DataDir:  "/var/lib/vrouter/etcd",
			LeaseTTL: 15 * time.Second,
			CopyFile: "/var/lib/vrouter/copy",
		},
		API: config.API{Socket: "/run/vrouter/vrouterd.sock", SocketMode: 0o660},
		BGP: config.BGP{
			ListenPort:          179,
			GracefulRestartTime: 120 * time.Second,
			AdvertiseDelay:      20 * time.Second,
			ConnectRetry:        2 * time.Second,
			HoldTime:            90 * time.Second,
			MeshMaxNodes:        100, SecretsDir: "/etc/vrouter/secrets", RetireTime: 5 * time.Minute,
		},
		FIB: config.FIB{
			Protocols:      config.Protocols{Workload: 118, Overlay: 119, BGP: 120, Blackhole: 121},
			Metric:         118,
			Table:          254,
			NexthopObjects: true,
			NexthopIDBase:  0x76720000,
			ReadBack:       time.Minute,
		},
		Workloads: config.Workloads{InterfacePrefixes: []string{"cali", "tap", "veth", "vr"}, RequirePool: true},
		Policy:    config.PolicyEnforce,
		Dataplane: config.DataplaneAuto,
		Log:       config.Log{Level: hclog.Info, Levels: map[string]hclog.Level{}},
		Metrics:   config.Metrics{Listen: "127.0.0.1:9091"},

		Reflector:  config.Reflector{OriginCheck: "Off"},
		Controller: config.Controller{HoldOff: 30 * time.Second, RetireAfter: 10 * time.Minute},
	}
}

func TestDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"a name alone":     "node: {name: n1}",
		"empty sections":   "node:\n  name: n1\nstore:\nbgp: {}\nlog: ~\n",
		"nulls":            "node: {name: n1, asNumber: null}\nmetrics: {listen: null}",
		"a document start": "---\nnode:\n  name: n1\n...\n",
	} {
		got := mustParse(t, text)
		if diff := diff(defaults("n1"), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFull(t *testing.T) {
	got := mustParse(t, `
node:
  name: rack1-host1.example.com
  ipv4Address: 192.0.2.11/24
  ipv6Address: 2001:db8::11
  asNumber: "65000.1"
  labels: {rack: rack1, example.com/zone: "1"}
  routeReflectorClusterID: 10.0.0.1
store:
  endpoints: ["https://192.0.2.1:2379", "https://[2001:db8::1]:2379"]
  caFile: /etc/ca.pem
  certFile: /etc/cert.pem
  keyFile: /etc/../etc/key.pem
  username: vrouter
  passwordFile: /etc/password
  prefix: /lab/
  leaseTTL: 30s
api:
  socketGroup: vrouter
  socketMode: 600
  listen: :9443
  advertise: host1.example.com:9443
  caFile: /a
  certFile: /b
  keyFile: /c
  policyFile: /d
bgp:
  listenPort: 1179
  listenAddresses: [192.0.2.11, "::1"]
  peers:
  - {name: tor-a, peerIP: 192.0.2.1, asNumber: 4200000000, passwordFile: tor-a, ttlSecurity: 1}
  - {name: tor-b, peerIP: "[2001:db8::1]:1179", asNumber: "1.10"}
  - {name: tor-c, peerIP: fe80::1%eth0, asNumber: 65001}
  gracefulRestartTime: 1m
  advertiseDelay: 0s
  holdTime: 9s
  meshMaxNodes: 0
  secretsDir: /run/secrets
  retireTime: 90s
fib:
  protocols: {workload: 201}
  metric: 50
  table: 100
  nexthopObjects: off
  nexthopIDBase: 0x10
  readBack: 1h
workloads: {interfacePrefixes: [vnet], requirePool: false}
policy: off
log: {level: debug, levels: {bgp: trace, fib: off}, format: json}
metrics: {listen: "[::1]:9091", pprof: true}
`)
	want := defaults("rack1-host1.example.com")
	want.Node.IPv4 = netip.MustParsePrefix("192.0.2.11/24")
	want.Node.IPv6 = netip.MustParsePrefix("2001:db8::11/128")
	want.Node.IPv4Detection, want.Node.IPv6Detection = config.Detection{}, config.Detection{}
	want.Node.ASNumber = 65000<<16 | 1
	want.Node.Labels = map[string]string{"rack": "rack1", "example.com/zone": "1"}
	want.Node.RouteReflectorClusterID = netip.MustParseAddr("10.0.0.1")
	want.Store.Mode = config.Etcd
	want.Store.Endpoints = []string{"https://192.0.2.1:2379", "https://[2001:db8::1]:2379"}
	want.Store.TLS = config.TLS{CAFile: "/etc/ca.pem", CertFile: "/etc/cert.pem", KeyFile: "/etc/key.pem"}
	want.Store.Username, want.Store.PasswordFile = "vrouter", "/etc/password"
	want.Store.Prefix, want.Store.LeaseTTL = "/lab/", 30*time.Second
	want.API.SocketGroup, want.API.SocketMode = "vrouter", 0o600
	want.API.Listen, want.API.Advertise = ":9443", "host1.example.com:9443"
	want.API.TLS, want.API.PolicyFile = config.TLS{CAFile: "/a", CertFile: "/b", KeyFile: "/c"}, "/d"
	want.Policy = config.PolicyOff
	want.BGP.ListenPort = 1179
	want.BGP.ListenAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("::1")}
	want.BGP.Peers = []config.Peer{
		{Name: "tor-a", Addr: netip.MustParseAddrPort("192.0.2.1:179"), ASNumber: 4200000000, PasswordFile: "tor-a", TTLSecurity: 1},
		{Name: "tor-b", Addr: netip.MustParseAddrPort("[2001:db8::1]:1179"), ASNumber: 65546},
		{Name: "tor-c", Addr: netip.MustParseAddrPort("[fe80::1%eth0]:179"), ASNumber: 65001},
	}
	want.BGP.GracefulRestartTime, want.BGP.AdvertiseDelay = time.Minute, 0
	want.BGP.HoldTime, want.BGP.MeshMaxNodes = 9*time.Second, 0
	want.BGP.SecretsDir, want.BGP.RetireTime = "/run/secrets", 90*time.Second
	want.FIB.Protocols.Workload = 201
	want.FIB.Metric, want.FIB.Table, want.FIB.NexthopIDBase = 50, 100, 16
	want.FIB.NexthopObjects, want.FIB.ReadBack = false, time.Hour
	want.Workloads = config.Workloads{InterfacePrefixes: []string{"vnet"}}
	want.Log = config.Log{Level: hclog.Debug, Levels: map[string]hclog.Level{"bgp": hclog.Trace, "fib": hclog.Off}, JSON: true}
	want.Metrics = config.Metrics{Listen: "[::1]:9091", Pprof: true}
	if diff := diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHostname(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	cfg, err := config.Parse("f", nil)
	var e *config.Error
	switch {
	case err == nil && cfg.Node.Name == strings.ToLower(host):
	case errors.As(err, &e) && e.Problems[0].Path == "node.name": // a host with an odd name
	default:
		t.Errorf("on host %q: name %q, error %v", host, cfg.Node.Name, err)
	}
}

func TestModeGiven(t *testing.T) {
	if !mustParse(t, "node: {name: n}\nstore: {mode: embedded}").Store.ModeGiven {
		t.Error("the chosen mode counts as not given")
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vrouterd.yaml")
	if _, err := config.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a named file that is absent: %v", err)
	}
	if err := os.WriteFile(path, []byte("node: {name: n1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diff(defaults("n1"), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := os.WriteFile(path, []byte("nod: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.HasPrefix(err.Error(), path+": line 1: nod: unknown field") {
		t.Errorf("error %v", err)
	}
}

func TestThreeMistakes(t *testing.T) {
	_, err := config.Parse("vrouterd.yaml", []byte(`node:
  name: n1
  ipv4address: 192.0.2.1
bgp:
  peers:
  - {name: a, peerIP: 192.0.2.2, asNumber: 65000}
  - {name: b, peerIP: 192.0.2.3, asNumber: 0}
fib:
  readBack: 60
`))
	want := `vrouterd.yaml has 3 problems:
  line 3: node.ipv4address: unknown field; it is spelled ipv4Address
  line 7: bgp.peers[1].asNumber: 0 is not an AS number (RFC 7607)
  line 9: fib.readBack: "60" is not a time with its unit, such as 500ms, 15s or 2m`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func mustParse(t *testing.T, text string) config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return cfg
}

func diff(want, got config.Config) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}, netip.AddrPort{}),
		cmpopts.IgnoreFields(config.Store{}, "ModeGiven"))
}
