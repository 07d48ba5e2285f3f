package session

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// md5Errors are the kernel's counters of segments that were dropped because of
// their TCP MD5 signature, for all connections of the network namespace.
type md5Errors struct {
	missing    int // TCPMD5NotFound: a key is set, and there was no signature
	unexpected int // TCPMD5Unexpected: a signature, and no key is set
	wrong      int // TCPMD5Failure
}

// MD5Hint says what the kernel has dropped for its TCP MD5 signature since the
// session last ended, or began; empty: nothing, or the session has no password.
// The counters are of the whole host: while other sessions are down, too, it may
// be theirs. A session with a wrong password has no other trace.
func (p *Peer) MD5Hint() string {
	if p.config.Password == "" {
		return ""
	}
	p.mu.Lock()
	before := p.md5
	p.mu.Unlock()
	return before.since(readMD5Errors())
}

// countMD5 begins the count of MD5Hint anew.
func (p *Peer) countMD5() {
	if p.config.Password == "" {
		return
	}
	now := readMD5Errors()
	p.mu.Lock()
	p.md5 = now
	p.mu.Unlock()
}

// readMD5Errors reads the counters; where they cannot be read they are zero,
// since they only help to explain.
func readMD5Errors() md5Errors {
	c, err := readNetstat("TCPMD5")
	if err != nil {
		return md5Errors{}
	}
	return md5Errors{missing: c["TCPMD5NotFound"], unexpected: c["TCPMD5Unexpected"], wrong: c["TCPMD5Failure"]}
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

// since says in words what was counted from e to now; empty: nothing.
func (e md5Errors) since(now md5Errors) string {
	var words []string
	add := func(n int, what string) {
		if n > 0 {
			words = append(words, fmt.Sprintf("%d segments %s", n, what))
		}
	}
	add(now.wrong-e.wrong, "with a wrong TCP MD5 signature")
	add(now.missing-e.missing, "without the TCP MD5 signature that was expected")
	add(now.unexpected-e.unexpected, "with a TCP MD5 signature that was not expected")
	if len(words) == 0 {
		return ""
	}
	return "this host has dropped " + strings.Join(words, ", ") + ": check the password at both ends"
}
