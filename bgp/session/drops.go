package session

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// drops are the kernel's counters of segments that were dropped because of
// their TCP MD5 signature or their TTL, for all connections of the network
// namespace.
type drops struct {
	missing    int // TCPMD5NotFound: a key is set, and there was no signature
	unexpected int // TCPMD5Unexpected: a signature, and no key is set
	wrong      int // TCPMD5Failure
	far        int // TCPMinTTLDrop: from farther away than TTL security allows
}

// DropHint says what the kernel has dropped since the session last ended, or
// began, of what the session asks it to drop: segments with a bad TCP MD5
// signature where it has a password, those from too far away where it has TTL
// security; empty: nothing. The counters are of the whole host: while other
// sessions are down, too, it may be theirs. What is dropped has no other trace.
func (p *Peer) DropHint() string {
	if !p.drops() {
		return ""
	}
	p.mu.Lock()
	before := p.dropped
	p.mu.Unlock()
	return before.since(readDrops(p.config))
}

// countDrops begins the count of DropHint anew.
func (p *Peer) countDrops() {
	if !p.drops() {
		return
	}
	now := readDrops(p.config)
	p.mu.Lock()
	p.dropped = now
	p.mu.Unlock()
}

// drops reports whether the kernel may drop segments of the peer for us.
func (p *Peer) drops() bool { return p.config.Password != "" || p.config.TTLSecurity > 0 }

// readDrops reads the counters that c is concerned by; where they cannot be read
// they are zero, since they only help to explain.
func readDrops(c Config) drops {
	var d drops
	n, err := readNetstat("TCPM")
	if err != nil {
		return d
	}
	if c.Password != "" {
		d.missing, d.unexpected, d.wrong = n["TCPMD5NotFound"], n["TCPMD5Unexpected"], n["TCPMD5Failure"]
	}
	if c.TTLSecurity > 0 {
		d.far = n["TCPMinTTLDrop"]
	}
	return d
}

// readNetstat reads the counters of TCP whose names begin with prefix.
func readNetstat(prefix string) (map[string]int, error) {
	// Not /proc/net, which shows the namespace of the process's first thread.
	data, err := os.ReadFile("/proc/thread-self/net/netstat")
	if err != nil {
		return nil, err
	}
	return parseNetstat(string(data), prefix), nil
}

// parseNetstat reads pairs of lines, names above numbers.
func parseNetstat(netstat, prefix string) map[string]int {
	counters := make(map[string]int)
	lines := strings.Split(netstat, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for j := 1; j < min(len(names), len(values)); j++ {
			if strings.HasPrefix(names[j], prefix) {
				counters[names[j]], _ = strconv.Atoi(values[j]) // no number: as if it was not there
			}
		}
	}
	return counters
}

// since says in words what was counted from d to now; empty: nothing.
func (d drops) since(now drops) string {
	var words, checks []string
	add := func(n int, what, check string) {
		if n <= 0 {
			return
		}
		words = append(words, fmt.Sprintf("%d segments %s", n, what))
		if !slices.Contains(checks, check) {
			checks = append(checks, check)
		}
	}
	const password, ttl = "the password", "TTL security"
	add(now.wrong-d.wrong, "with a wrong TCP MD5 signature", password)
	add(now.missing-d.missing, "without the TCP MD5 signature that was expected", password)
	add(now.unexpected-d.unexpected, "with a TCP MD5 signature that was not expected", password)
	add(now.far-d.far, "with a TTL too low for TTL security", ttl)
	if len(words) == 0 {
		return ""
	}
	return "this host has dropped " + strings.Join(words, ", ") + ": check " + strings.Join(checks, " and ") + " at both ends"
}
