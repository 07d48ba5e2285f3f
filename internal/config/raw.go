package config

// The raw structs mirror the file: a nil pointer is a field that is not given,
// and null is the same as not given.

// Values whose notation is checked in the second step.
type (
	integer  = scalar // 179, or 0x1f
	asNumber = scalar // 64512, or "1.10" with quotes, which YAML needs here
	duration = scalar // a number with its unit: 500ms, 15s, 2m, 1h30m
)

// file is the whole file.
type file struct {
	Node      rawNode      `yaml:"node"`
	Store     rawStore     `yaml:"store"`
	API       rawAPI       `yaml:"api"`
	BGP       rawBGP       `yaml:"bgp"`
	FIB       rawFIB       `yaml:"fib"`
	Workloads rawWorkloads `yaml:"workloads"`

	// Policy is enforce, or off: everything passes. Default: enforce.
	Policy *string `yaml:"policy"`
	// Dataplane is what enforces policy: nftables, iptables (in the flavour in
	// which others have rules), iptables-nft, iptables-legacy, or auto, which is
	// nftables where the kernel has it, else iptables. Default: auto.
	Dataplane *string `yaml:"dataplane"`

	// BMP are the stations that are told what BGP peers say (RFC 7854).
	BMP []rawStation `yaml:"bmp"`

	Log     rawLog     `yaml:"log"`
	Metrics rawMetrics `yaml:"metrics"`

	Reflector  rawReflector  `yaml:"reflector"`
	Controller rawController `yaml:"controller"`
}

// rawNode is this host. What is given here is the host's, and restored in its
// Node resource at every start; what is not given belongs to the API.
type rawNode struct {
	// Name names the Node resource: a DNS subdomain. Default: the host's name,
	// in lower case.
	Name *string `yaml:"name"`
	// IPv4Address and IPv6Address are the addresses that peers and other hosts
	// know this host by, with the length of their subnet; a bare address means
	// /32 or /128. Or how they are found: first-found, can-reach=DEST,
	// interface=REGEX[,REGEX], skip-interface=REGEX[,REGEX], cidr=CIDR[,CIDR];
	// none looks for none. Default: first-found, unless the other is an address.
	IPv4Address *string `yaml:"ipv4Address"`
	IPv6Address *string `yaml:"ipv6Address"`
	// ASNumber is the host's own AS. Default: the cluster's.
	ASNumber *asNumber `yaml:"asNumber"`
	// Labels are added to the Node's.
	Labels map[string]string `yaml:"labels"`
	// RouteReflectorClusterID makes the host a route reflector (RFC 4456): four
	// numbers as of an IPv4 address. Default: no reflector.
	RouteReflectorClusterID *string `yaml:"routeReflectorClusterID"`
}

// rawStore is where the cluster's state lives.
type rawStore struct {
	// Mode is embedded (a store in this process, for a single host) or etcd.
	// Default: etcd when there are endpoints, else embedded.
	Mode *string `yaml:"mode"`
	// Endpoints are the URLs of an etcd cluster, such as https://192.0.2.1:2379.
	Endpoints []string `yaml:"endpoints"`
	// CAFile holds the authorities that may sign etcd's certificate. Default:
	// the system's.
	CAFile *string `yaml:"caFile"`
	// CertFile and KeyFile are this host's certificate for etcd. Default: none.
	CertFile *string `yaml:"certFile"`
	KeyFile  *string `yaml:"keyFile"`
	// Username and PasswordFile log in at etcd. Default: no login.
	Username     *string `yaml:"username"`
	PasswordFile *string `yaml:"passwordFile"`
	// Prefix is what every key begins with. Default: /vrouter/v1/.
	Prefix *string `yaml:"prefix"`
	// DataDir holds the embedded store. Default: /var/lib/vrouter/etcd.
	DataDir *string `yaml:"dataDir"`
	// LeaseTTL is after how long without a sign of life this host counts as
	// dead: 5s to 10m. Default: 15s.
	LeaseTTL *duration `yaml:"leaseTTL"`
	// CopyFile is the local copy of the last state in sync, from which a host
	// starts while etcd is away. Default: /var/lib/vrouter/copy.
	CopyFile *string `yaml:"copyFile"`
}

// rawAPI is where the gRPC API is served.
type rawAPI struct {
	// Socket is a Unix socket, whose owner, group and mode are the right to
	// call. Default: /run/vrouter/vrouterd.sock.
	Socket *string `yaml:"socket"`
	// SocketGroup is the socket's group, by name or number. Default: the
	// daemon's.
	SocketGroup *string `yaml:"socketGroup"`
	// SocketMode is the socket's mode in octal. Default: 0660.
	SocketMode *scalar `yaml:"socketMode"`
	// Listen is a TCP address:port, or :port for all addresses, served with
	// mutual TLS only. Default: no TCP.
	Listen *string `yaml:"listen"`
	// Advertise is the host:port under which other nodes reach Listen. Default:
	// the node's address and the port of Listen.
	Advertise *string `yaml:"advertise"`
	// CAFile, CertFile and KeyFile are needed with Listen, all three: who may
	// sign callers' certificates, and the server's own.
	CAFile   *string `yaml:"caFile"`
	CertFile *string `yaml:"certFile"`
	KeyFile  *string `yaml:"keyFile"`
	// PolicyFile is a policy of gRPC's authz in JSON: which caller may call
	// which method over TCP. Default: every caller with a certificate, all.
	PolicyFile *string `yaml:"policyFile"`
}

// rawBGP is the speaker.
type rawBGP struct {
	// ListenPort is the TCP port of incoming sessions. Default: 179.
	ListenPort *integer `yaml:"listenPort"`
	// ListenAddresses are where sessions are accepted. Default: all addresses.
	ListenAddresses []string `yaml:"listenAddresses"`
	// Peers are sessions beside those of the API, for fabrics where the store
	// itself is reached over BGP.
	Peers []rawPeer `yaml:"peers"`
	// Accept are prefixes outside the pools whose routes, and those inside
	// them, are accepted from any peer and never sent on: those of the store,
	// where it lies behind them. Default: none.
	Accept []string `yaml:"accept"`
	// GracefulRestartTime is how long peers are asked to keep our routes while
	// we restart (RFC 4724), and when stale routes are swept after a start: 1s
	// to 4095s. Default: 120s.
	GracefulRestartTime *duration `yaml:"gracefulRestartTime"`
	// AdvertiseDelay is how long advertisements wait at most for the peers'
	// End-of-RIB after a start; not longer than GracefulRestartTime. Default: 20s.
	AdvertiseDelay *duration `yaml:"advertiseDelay"`
	// ConnectRetry is the pause between attempts to connect: 1s to 1h. Default: 2s.
	ConnectRetry *duration `yaml:"connectRetry"`
	// HoldTime is offered to peers (RFC 4271): 3s to 65535s. Default: 90s.
	HoldTime *duration `yaml:"holdTime"`
	// MeshMaxNodes is the size of the full mesh from which the daemon warns that
	// route reflectors are due; 0 never warns. Default: 100.
	MeshMaxNodes *integer `yaml:"meshMaxNodes"`
	// SecretsDir holds the passwords that sessions name as files. They are read
	// again every ten seconds. Default: /etc/vrouter/secrets.
	SecretsDir *string `yaml:"secretsDir"`
	// RetireTime is how long a session between nodes that is no longer wanted is
	// kept at most, until others have taken over what it brings to either end:
	// up to 24h; 0s ends it at once. Default: 5m.
	RetireTime *duration `yaml:"retireTime"`
}

// rawPeer is a router that this host speaks with. Name, peerIP and asNumber are
// needed.
type rawPeer struct {
	// Name names the peer in logs, metrics and status: a DNS subdomain.
	Name *string `yaml:"name"`
	// PeerIP is its address, or address:port; "[address]:port" for IPv6, with
	// quotes.
	PeerIP *string `yaml:"peerIP"`
	// ASNumber is its AS.
	ASNumber *asNumber `yaml:"asNumber"`
	// PasswordFile is the name of a file in secretsDir with the password of TCP
	// MD5 signatures. Default: none.
	PasswordFile *string `yaml:"passwordFile"`
	// TTLSecurity drops what comes from farther than so many hops (RFC 5082), 1
	// for a neighbour on the link. Default: off.
	TTLSecurity *integer `yaml:"ttlSecurity"`
}

// rawFIB is how our routes look in the kernel.
type rawFIB struct {
	// Protocols tell our routes from others', and by source.
	Protocols rawProtocols `yaml:"protocols"`
	// Metric of all our routes; neither 0 nor 1024, which the kernel gives to
	// routes of others. Default: 118.
	Metric *integer `yaml:"metric"`
	// Table is the routing table; not 0 and not 255. Default: 254, main.
	Table *integer `yaml:"table"`
	// NexthopObjects is auto (use them where the kernel has them) or off.
	// Default: auto.
	NexthopObjects *string `yaml:"nexthopObjects"`
	// NexthopIDBase is the first of the 1,048,576 next-hop ids that are ours.
	// Default: 0x76720000.
	NexthopIDBase *integer `yaml:"nexthopIDBase"`
	// ReadBack is how often the kernel's routes are read in full, beside
	// following its events: 1s to 24h. Default: 60s.
	ReadBack *duration `yaml:"readBack"`
}

// rawProtocols are route protocol numbers: 5 to 255, distinct, and none that
// iproute2 names for another daemon.
type rawProtocols struct {
	// Workload marks routes to workloads of this host. Default: 118.
	Workload *integer `yaml:"workload"`
	// Overlay marks routes through tunnels. Default: 119.
	Overlay *integer `yaml:"overlay"`
	// BGP marks learned routes. Default: 120.
	BGP *integer `yaml:"bgp"`
	// Blackhole marks the blackholes of this host's blocks. Default: 121.
	Blackhole *integer `yaml:"blackhole"`
}

// rawWorkloads is what this host asks of endpoints.
type rawWorkloads struct {
	// InterfacePrefixes are what names of workload interfaces begin with; an
	// endpoint on another interface is accepted, and told apart in the log.
	// Default: [cali, tap, veth, vr].
	InterfacePrefixes []string `yaml:"interfacePrefixes"`
	// RequirePool refuses an endpoint whose address is in no pool. Default: true.
	RequirePool *bool `yaml:"requirePool"`
}

// rawLog is what is logged.
type rawLog struct {
	// Level is trace, debug, info, warn, error or off. Default: info.
	Level *string `yaml:"level"`
	// Levels are levels by subsystem, such as bgp: debug.
	Levels map[string]string `yaml:"levels"`
	// Format is text or json. Default: text.
	Format *string `yaml:"format"`
}

// rawStation is a monitoring station, which is dialled.
type rawStation struct {
	// Address is the station's host:port. It is needed.
	Address *string `yaml:"address"`
	// PostPolicy also tells what the import policy makes of what peers say.
	// Default: false.
	PostPolicy *bool `yaml:"postPolicy"`
	// StatisticsInterval is how often each session's statistics are told: 1s to
	// 24h. Default: 60s.
	StatisticsInterval *duration `yaml:"statisticsInterval"`
}

// rawMetrics is the HTTP server of metrics and health.
type rawMetrics struct {
	// Listen is an address:port, or :port for all addresses; "" and off mean no
	// server. Default: 127.0.0.1:9091.
	Listen *string `yaml:"listen"`
	// Pprof serves Go's profiles there, too; whoever may connect may read them.
	// Default: false.
	Pprof *bool `yaml:"pprof"`
}

// rawReflector is what a route reflector does beyond reflecting.
type rawReflector struct {
	// OriginCheck is off, log or enforce: whether a route of an endpoint's
	// address from another host than its own is refused. A ReflectorGroup may
	// say otherwise. Default: off.
	OriginCheck *string `yaml:"originCheck"`
}

// rawController is vrouterd controller, which elects reflectors.
type rawController struct {
	// HoldOff is for how long a reflector may be without its lease before it is
	// replaced: up to 1h. Default: 30s.
	HoldOff *duration `yaml:"holdOff"`
	// RetireAfter is how long a reflector that was replaced stays, at most,
	// while those that stay do not serve all hosts: up to 24h. Default: 10m.
	RetireAfter *duration `yaml:"retireAfter"`
}
