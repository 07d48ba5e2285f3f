package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/config"
)

// TestProblems gives files and every problem that they have, as "PATH: a part
// of the message". A name is added to each.
func TestProblems(t *testing.T) {
	tests := map[string][]string{
		// The form of the file.
		"a: b: c":                                  {`: mapping values are not allowed`},
		"[]":                                       {`: expected fields, found a list`},
		"text":                                     {`: expected fields, found "text"`},
		"bgp: 5":                                   {`bgp: expected fields, found the number 5`},
		"bgp: {peers: {}}":                         {`bgp.peers: expected a list, found fields`},
		"bgp: {listenPort: 1, listenPort: 2}":      {`bgp.listenPort: given twice, first in line `},
		"log: {levels: {bgp: info, bgp: debug}}":   {`log.levels.bgp: given twice`},
		"log: {}\nlog: {}":                         {`log: given twice, first in line `},
		"bgp: {routerID: 1.2.3.4}":                 {`bgp.routerID: unknown field`},
		"? [a]\n: b":                               {`: expected the name of a field, found a list`},
		"log: &x {}\nmetrics: *x":                  {`log: anchors and aliases`, `metrics: anchors and aliases`},
		"log: {<<: {level: info}}":                 {`log: expected the name of a field, found <<`},
		"log: {}\n---\nlog: {}":                    {`: a second document`},
		"workloads: {requirePool: yes}":            {`workloads.requirePool: expected true or false, found "yes"`},
		"workloads: {requirePool: 1}":              {`workloads.requirePool: expected true or false, found the number 1`},
		"policy: false":                            {`policy: expected text, found false: put it in quotes`},
		"log: {levels: {a.b: info}}":               {`log.levels["a.b"]: "a.b" is not the name of a subsystem`},
		"log: {levels: {bgp: loud}, level: quiet}": {`log.level: "quiet" is none of trace`, `log.levels.bgp: "loud" is none of`},
		"log: {format: xml}":                       {`log.format: "xml" is none of text, json`},
		"policy: on":                               {`policy: "on" is none of enforce, off`},
		"dataplane: ebpf":                          {`dataplane: "ebpf" is none of auto, nftables, iptables, iptables-nft, iptables-legacy`},

		// Node.
		"node: {ipv4Address: 127.0.0.1}":                  {`node.ipv4Address: 127.0.0.1 is not a unicast address: it is loopback`},
		"node: {ipv4Address: 0.0.0.0}":                    {`unspecified`},
		"node: {ipv4Address: 224.0.0.5}":                  {`multicast`},
		"node: {ipv4Address: 169.254.1.1/16}":             {`link-local`},
		"node: {ipv4Address: 192.0.2.0/24}":               {`is the subnet itself`},
		"node: {ipv4Address: 192.0.2.255/24}":             {`is the broadcast address`},
		"node: {ipv4Address: 2001:db8::1}":                {`is not an IPv4 address`},
		"node: {ipv4Address: 192.0.2.1/33}":               {`"192.0.2.1/33" is not an address`},
		"node: {ipv4Address: 192.0.2.1/0}":                {`length of 0`},
		"node: {ipv4Address: 192.0.2}":                    {`node.ipv4Address: "192.0.2" is not an IP address`},
		"node: {ipv6Address: 192.0.2.1}":                  {`is not an IPv6 address`},
		`node: {ipv6Address: "::ffff:192.0.2.1"}`:         {`mapped into IPv6`},
		`node: {ipv6Address: "2001:db8::/64"}`:            {`is the subnet itself`},
		`node: {ipv6Address: "fe80::1/64"}`:               {`link-local`},
		`node: {ipv6Address: "2001:db8::1%eth0"}`:         {`has a zone`},
		`node: {ipv6Address: "::1"}`:                      {`loopback`},
		"node: {ipv4Address: first}":                      {`"first" is not an IP address`},
		"node: {ipv4Address: can-reach}":                  {`node.ipv4Address: can-reach= needs what follows it`},
		"node: {ipv4Address: kubernetes-internal-ip}":     {`node.ipv4Address: kubernetes-internal-ip is not built: name the network by cidr=`},
		"node: {ipv4Address: autodetect}":                 {`node.ipv4Address: "autodetect" is not an IP address, and none of first-found, can-reach=`},
		"node: {ipv6Address: 'interface=eth0, '}":         {`node.ipv6Address: "eth0, " has an empty part`},
		"node: {ipv6Address: 'interface=eth[0-9'}":        {"node.ipv6Address: error parsing regexp: missing closing ]: `[0-9`"},
		"node: {ipv4Address: near=10.0.0.1}":              {`"near=10.0.0.1" is none of first-found, can-reach=`},
		"node: {ipv4Address: first-found=eth0}":           {`"first-found=eth0" is none of`},
		"node: {ipv4Address: 'can-reach='}":               {`node.ipv4Address: "" is neither an address nor a name`},
		"node: {ipv4Address: can-reach=10.0.0}":           {`"10.0.0" is neither an address nor a name`},
		"node: {ipv4Address: 'can-reach=a b'}":            {`"a b" is neither`},
		"node: {ipv4Address: can-reach=2001:db8::1}":      {`node.ipv4Address: 2001:db8::1 is not of IPv4`},
		"node: {ipv6Address: can-reach=10.0.0.1}":         {`node.ipv6Address: 10.0.0.1 is not of IPv6`},
		"node: {ipv4Address: can-reach=127.0.0.1}":        {`127.0.0.1 is no destination beyond`},
		"node: {ipv6Address: can-reach=fe80::1%eth0}":     {`is no destination beyond`},
		"node: {ipv4Address: 'interface='}":               {`"" has an empty part`},
		"node: {ipv4Address: 'interface=eth0,'}":          {`"eth0," has an empty part`},
		"node: {ipv4Address: 'interface=eth(,b'}":         {`error parsing regexp: missing closing )`},
		"node: {ipv4Address: 'skip-interface=*'}":         {`missing argument to repetition operator`},
		"node: {ipv4Address: cidr=10.0.0.0}":              {`"10.0.0.0" is not a prefix`},
		"node: {ipv4Address: cidr=10.0.0.1/8}":            {`10.0.0.1/8 has bits beyond its length: is it 10.0.0.0/8?`},
		"node: {ipv6Address: 'cidr=fd00::/8,10.0.0.0/8'}": {`node.ipv6Address: 10.0.0.0/8 is not of IPv6`},
		"node: {asNumber: 1.10}":                          {`node.asNumber: 1.10 without quotes is a fraction to YAML: write "1.10"`},
		"node: {asNumber: 0}":                             {`node.asNumber: 0 is not an AS number`},
		`node: {asNumber: "0.0"}`:                         {`node.asNumber: 0 is not an AS number`},
		`node: {asNumber: "1.65536"}`:                     {`"1.65536" is not an AS number`},
		"node: {asNumber: 23456}":                         {`AS_TRANS`},
		"node: {asNumber: 65535}":                         {`65535 is reserved`},
		"node: {asNumber: 4294967296}":                    {`is not an AS number`},
		"node: {asNumber: -1}":                            {`is not an AS number`},
		"node: {asNumber: AS65000}":                       {`"AS65000" is not an AS number`},
		"node: {asNumber: [1]}":                           {`node.asNumber: expected a single value, found a list`},
		"node: {labels: {rack: 1}}":                       {`node.labels.rack: expected text, found the number 1: put it in quotes`},
		"node: {labels: {a b: x}}":                        {`node.labels["a b"]: key: "a b" is not a label`},
		"node: {labels: {rack: a b}}":                     {`node.labels.rack: "a b" is not a label`},
		"node: {labels: {rack: 2024-01-01}}":              {`found the date 2024-01-01: put it in quotes`},
		"node: {routeReflectorClusterID: 2001:db8::1}":    {`is not a cluster id`},
		"node: {routeReflectorClusterID: 5}":              {`node.routeReflectorClusterID: expected text`},

		// Store.
		"store: {mode: etcd}":   {`store.endpoints: is needed with mode etcd`},
		"store: {mode: consul}": {`store.mode: "consul" is none of embedded, etcd`},
		"store: {mode: embedded, endpoints: ['http://a:2379']}": {`store.endpoints: has a meaning only with mode etcd`},
		"store: {username: u, passwordFile: /p}":                {`store.passwordFile: has a meaning only with mode etcd`, `store.username: has a meaning`},
		"store: {endpoints: [192.0.2.1:2379]}":                  {`store.endpoints[0]: "192.0.2.1:2379" is not a URL`},
		"store: {endpoints: ['http://a']}":                      {`store.endpoints[0]: "http://a" has no host or no port`},
		"store: {endpoints: ['http://a:1/x']}":                  {`has more than a host and a port`},
		"store: {endpoints: ['http://a:1', 'https://b:1']}":     {`store.endpoints: some have TLS`},
		"store: {endpoints: ['http://a:1'], caFile: /x}":        {`store.caFile: has a meaning only with an https endpoint`},
		"store: {endpoints: ['https://a:1'], certFile: /x}":     {`store.keyFile: is needed with certFile`},
		"store: {endpoints: ['https://a:1'], keyFile: /x}":      {`store.certFile: is needed with keyFile`},
		"store: {endpoints: ['https://a:1'], username: u}":      {`store.passwordFile: is needed with username`},
		"store: {endpoints: ['https://a:1'], passwordFile: /u}": {`store.username: is needed with passwordFile`},
		"store: {endpoints: ['https://a:1'], caFile: ca.pem}":   {`store.caFile: "ca.pem" is not an absolute path`},
		"store: {endpoints: ['https://a:1', 5]}":                {`store.endpoints[1]: expected text, found the number 5`},
		"store: {prefix: vrouter}":                              {`store.prefix: "vrouter" does not begin and end`},
		"store: {prefix: /}":                                    {`store.prefix: "/" does not`},
		"store: {leaseTTL: 1s}":                                 {`store.leaseTTL: 1s is not in 5s to 10m0s`},
		"store: {leaseTTL: 5500ms}":                             {`store.leaseTTL: 5.5s is not in whole seconds`},
		"store: {dataDir: 5}":                                   {`store.dataDir: expected text, found the number 5`},

		// API.
		"api: {listen: ':9443'}":                                                      {`api.caFile: is needed`, `api.certFile: is needed`, `api.keyFile: is needed`},
		"api: {caFile: /a, advertise: 'a:1'}":                                         {`api.advertise: has a meaning only with listen`, `api.caFile: has a meaning only`},
		"api: {policyFile: /a}":                                                       {`api.policyFile: has a meaning only with listen`},
		"api: {socketMode: 0888}":                                                     {`api.socketMode: "0888" is not a file's mode`},
		"api: {socketMode: 0060}":                                                     {`api.socketMode: 0060 does not let the owner`},
		"api: {socketMode: 1777}":                                                     {`is not a file's mode`},
		"api: {socketGroup: ''}":                                                      {`api.socketGroup: is empty`},
		"api: {socket: " + strings.Repeat("/x", 54) + "}":                             {`api.socket: is longer than`},
		"api: {listen: 'h:9443', caFile: /a, certFile: /b, keyFile: /c}":              {`api.listen: "h" is not an IP address`},
		"api: {listen: ':0', caFile: /a, certFile: /b, keyFile: /c}":                  {`api.listen: "0" is not a port`},
		"api: {listen: ':1', advertise: ':1', caFile: /a, certFile: /b, keyFile: /c}": {`api.advertise: ":1" is not host:port`},
		"api: {listen: '127.0.0.1:9091', caFile: /a, certFile: /b, keyFile: /c}":      {`metrics.listen: 127.0.0.1:9091 is taken by api.listen`},

		// BGP.
		"bgp: {listenPort: 0}":                                      {`bgp.listenPort: 0 is not in 1 to 65535`},
		"bgp: {listenPort: '179'}":                                  {`bgp.listenPort: expected a whole number, found "179"`},
		"bgp: {listenPort: 1.5}":                                    {`bgp.listenPort: expected a whole number, found "1.5"`},
		"bgp: {listenAddresses: [224.0.0.1, 10.0.0.1, 10.0.0.1]}":   {`bgp.listenAddresses[0]: "224.0.0.1" is not`, `bgp.listenAddresses[2]: 10.0.0.1 stands here twice`},
		"bgp: {holdTime: 2s}":                                       {`bgp.holdTime: 2s is not in 3s`},
		"bgp: {holdTime: 90}":                                       {`bgp.holdTime: "90" is not a time`},
		"bgp: {gracefulRestartTime: 4096s}":                         {`bgp.gracefulRestartTime: 1h8m16s is not in`},
		"bgp: {gracefulRestartTime: 10s}":                           {`bgp.gracefulRestartTime: the advertise delay, 20s, is longer`},
		"bgp: {advertiseDelay: 200s}":                               {`bgp.advertiseDelay: the advertise delay, 3m20s, is longer`},
		"bgp: {connectRetry: 100ms}":                                {`bgp.connectRetry: 100ms is not in`},
		"bgp: {peers: [{}]}":                                        {`bgp.peers[0].asNumber: is needed`, `bgp.peers[0].name: is needed`, `bgp.peers[0].peerIP: is needed`},
		"bgp: {peers: [{name: A_, peerIP: 10.0.0.1, asNumber: 1}]}": {`bgp.peers[0].name: "A_" is not a DNS name`},
		"bgp: {peers: [{name: a, peerIP: 10.0.0.1, asNumber: 1}, {name: a, peerIP: '10.0.0.1:179', asNumber: 1}]}": {
			`bgp.peers[1].name: a is the name of bgp.peers[0], too`, `bgp.peers[1].peerIP: 10.0.0.1:179 is the address of bgp.peers[0], too`},
		"bgp: {peers: [{name: a, peerIP: router, asNumber: 1}]}":                                  {`bgp.peers[0].peerIP: "router" is not an address`},
		"bgp: {peers: [{name: a, peerIP: [2001], asNumber: 1}]}":                                  {`bgp.peers[0].peerIP: expected text, found a list: put it in quotes`},
		"bgp: {peers: [{name: a, peerIP: '10.0.0.1:0', asNumber: 1}]}":                            {`has port 0`},
		"bgp: {peers: [{name: a, peerIP: 'fe80::1', asNumber: 1}]}":                               {`is link-local: name the interface`},
		"bgp: {peers: [{name: a, peerIP: 224.0.0.1, asNumber: 1}]}":                               {`cannot be a peer's address`},
		"bgp: {peers: [{name: a, peerIP: 10.0.0.1, asNumber: 1.10}]}":                             {`bgp.peers[0].asNumber: 1.10 without quotes`},
		"node: {ipv4Address: 10.0.0.1}\nbgp: {peers: [{name: a, peerIP: 10.0.0.1, asNumber: 1}]}": {`bgp.peers[0].peerIP: 10.0.0.1 is this node's own address`},

		// FIB.
		"fib: {protocols: {workload: 4}}":            {`fib.protocols.workload: 4 is not in 5 to 255`},
		"fib: {protocols: {workload: 12, bgp: 186}}": {`fib.protocols.bgp: 186 is the number of FRR's bgp`, `fib.protocols.workload: 12 is the number of bird`},
		"fib: {protocols: {workload: 120}}":          {`fib.protocols.bgp: 120 is the number of workload, too`},
		"fib: {metric: 1024}":                        {`fib.metric: 1024 is the metric`},
		"fib: {metric: 0}":                           {`fib.metric: 0 is not in`},
		"fib: {table: 255}":                          {`fib.table: 255 is the kernel's own`},
		"fib: {nexthopObjects: always}":              {`fib.nexthopObjects: "always" is none of auto, off`},
		"fib: {nexthopIDBase: 0xffffffff}":           {`fib.nexthopIDBase: 0xffffffff is not in`},
		"fib: {readBack: 0s}":                        {`fib.readBack: 0s is not in`},

		// The rest.
		"workloads: {interfacePrefixes: ['', a/b]}": {`workloads.interfacePrefixes[0]: "" cannot`, `workloads.interfacePrefixes[1]: "a/b" cannot`},
		"metrics: {listen: off, pprof: true}":       {`metrics.pprof: has a meaning only`},
		"bmp: [{}, {address: here}, {address: 'a:1'}, {address: 'a:1', statisticsInterval: 1ms}]": {
			`bmp[0].address: is needed`, `bmp[1].address: "here" is not host:port`, `bmp[3].address: a:1 stands here twice`,
			`bmp[3].statisticsInterval: 1ms is not in 1s to 24h`,
		},
		"metrics: {listen: '9091'}": {`metrics.listen: "9091" is not address:port`},
		"metrics: {listen: 9091}":   {`metrics.listen: expected text, found the number 9091`},
	}
	for text, want := range tests {
		data := text
		switch {
		case strings.Contains(text, "node: {"):
			data = strings.Replace(text, "node: {", "node: {name: n, ", 1)
		case text[0] >= 'a' && !strings.HasPrefix(text, "a: ") && text != "text":
			data = "node: {name: n}\n" + text
		}
		_, err := config.Parse("f", []byte(data))
		var e *config.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v", text, err)
			continue
		}
		var got []string
		for _, p := range e.Problems {
			if p.Path != "node.name" { // of files without one, on odd hosts
				got = append(got, p.Path+": "+p.Msg)
			}
		}
		if !fits(got, want) {
			t.Errorf("%s\n got %s\nwant %s", text, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

// fits tells whether each of got holds the part of it that is wanted.
func fits(got, want []string) bool {
	for i := range want {
		if i >= len(got) || !strings.Contains(got[i], want[i]) {
			return false
		}
	}
	return len(got) == len(want)
}

func TestNodeNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"n": true, "n-1.example.com": true, "1": false, `"1"`: true, "N1": false, "n_1": false, "-n": false, "n-": false,
		"n..m": false, `""`: false, strings.Repeat("x", 63): true,
		strings.Repeat("x.", 126) + "x": true, strings.Repeat("x.", 127) + "x": false, "ü": false,
	} {
		if _, err := config.Parse("f", []byte("node: {name: "+name+"}")); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
