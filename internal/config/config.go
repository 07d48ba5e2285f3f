// Package config is the daemon's configuration file, in two steps. The raw
// structs (raw.go) mirror the file and say what each field means; the checked
// Config holds real types and no contradictions, and is what the daemon uses.
//
// It keeps two things true. Nothing in the file is ignored: an unknown field,
// a field given twice or a value of the wrong type is a problem. And every
// problem of a file is reported at once, with its line and path, so that one
// reading of the report is enough to mend the file.
//
// The file is read once; what changes while the daemon runs belongs to the
// API. Checking looks at the text alone: whether a file that it names exists
// or an address is really on the host is found by whoever uses it.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
)

// DefaultPath is where the file is looked for when no other place is named.
const DefaultPath = "/etc/vrouter/vrouterd.yaml"

// Config is a checked configuration. Every field has its default when the file
// does not give it. It is not changed once it is made.
type Config struct {
	Node      Node
	Store     Store
	API       API
	BGP       BGP
	FIB       FIB
	Workloads Workloads
	Policy    Policy
	Dataplane Dataplane
	BMP       []Station
	Log       Log
	Metrics   Metrics

	Reflector  Reflector
	Controller Controller
}

// Node is what the file says of this host. A zero value other than of Name
// means that the file leaves it to the API, or to what the host shows.
type Node struct {
	Name                    string // a DNS subdomain
	IPv4, IPv6              netip.Prefix
	IPv4Detection           Detection // where IPv4 is not given
	IPv6Detection           Detection
	ASNumber                uint32
	Labels                  map[string]string
	RouteReflectorClusterID netip.Addr
}

// Store says where the cluster's state lives.
type Store struct {
	Mode StoreMode
	// ModeGiven tells whether the file chose Mode. An embedded store that it
	// did not choose must not start where the copy of another cluster lies.
	ModeGiven bool
	Endpoints []string // URLs; empty when embedded
	TLS       TLS
	Username  string
	// PasswordFile is set exactly when Username is.
	PasswordFile string
	Prefix       string // begins and ends with a slash
	DataDir      string
	LeaseTTL     time.Duration // whole seconds
	CopyFile     string
}

// StoreMode is how etcd is reached.
type StoreMode string

// The modes of a store.
const (
	Embedded StoreMode = "embedded" // in this process, for a single host
	Etcd     StoreMode = "etcd"     // a cluster of its own
)

// TLS names PEM files. CertFile and KeyFile are both set, or neither is.
type TLS struct {
	CAFile, CertFile, KeyFile string
}

// API says where the gRPC servers listen.
type API struct {
	Socket      string
	SocketGroup string // empty: the daemon's own
	SocketMode  fs.FileMode
	Listen      string // HOST:PORT, the host empty for all addresses; empty: no TCP
	Advertise   string // HOST:PORT that other nodes dial; empty: made from Listen
	TLS         TLS    // complete when Listen is set
	PolicyFile  string
}

// BGP holds settings of the speaker, and sessions that must stand before the
// store can be reached.
type BGP struct {
	ListenPort          uint16
	ListenAddresses     []netip.Addr // empty: all
	Peers               []Peer
	Accept              []netip.Prefix // outside the pools, and never sent on
	GracefulRestartTime time.Duration  // whole seconds, RFC 4724
	AdvertiseDelay      time.Duration
	ConnectRetry        time.Duration // whole seconds
	HoldTime            time.Duration // whole seconds, RFC 4271
	MeshMaxNodes        int           // zero: never warn
	SecretsDir          string
	RetireTime          time.Duration // zero: at once
}

// Peer is a router that this host speaks with.
type Peer struct {
	Name         string
	Addr         netip.AddrPort
	ASNumber     uint32
	PasswordFile string // in BGP.SecretsDir; empty: no password
	TTLSecurity  uint8  // hops; zero: off
}

// FIB says how our routes look in the kernel.
type FIB struct {
	Protocols      Protocols
	Metric         uint32
	Table          uint32
	NexthopObjects bool // use them where the kernel has them
	NexthopIDBase  uint32
	ReadBack       time.Duration
}

// Protocols are the route protocol numbers by which a route tells whose it is.
// They are distinct.
type Protocols struct {
	Workload, Overlay, BGP, Blackhole uint8
}

// Workloads holds what this host asks of endpoints.
type Workloads struct {
	InterfacePrefixes []string
	RequirePool       bool
}

// Policy says whether policy is enforced.
type Policy string

// The ways to treat policy.
const (
	PolicyOff     Policy = "off" // everything passes
	PolicyEnforce Policy = "enforce"
)

// Dataplane is what enforces policy.
type Dataplane string

// The dataplanes.
const (
	DataplaneAuto           Dataplane = "auto" // nftables where the kernel has it, else iptables
	DataplaneNFTables       Dataplane = "nftables"
	DataplaneIPTables       Dataplane = "iptables" // in the flavour in which others have rules
	DataplaneIPTablesNFT    Dataplane = "iptables-nft"
	DataplaneIPTablesLegacy Dataplane = "iptables-legacy"
)

// Station is a monitoring station (BMP, RFC 7854).
type Station struct {
	Address            string // HOST:PORT
	PostPolicy         bool
	StatisticsInterval time.Duration
}

// Log says what is logged, and how.
type Log struct {
	Level  hclog.Level
	Levels map[string]hclog.Level // by subsystem, above or below Level
	JSON   bool
}

// Metrics says where metrics, health and profiles are served over HTTP.
type Metrics struct {
	Listen string // HOST:PORT; empty: nowhere
	Pprof  bool
}

// Load reads and checks the file at path. No file at DefaultPath means that
// everything has its default; none elsewhere is an error. Problems of its
// content are an *Error.
func Load(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && path == DefaultPath {
		return Parse(path, nil)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse checks the content of a file; name is for errors. An empty file is
// valid. The host's name is asked for only where the file gives none. The
// error is an *Error.
func Parse(name string, data []byte) (Config, error) {
	c := &checker{lines: map[string]int{}, bad: map[string]bool{}}
	var raw file
	c.decode(data, &raw)
	cfg := c.file(&raw)
	if len(c.problems) > 0 {
		return Config{}, newError(name, c.problems)
	}
	return cfg, nil
}
