package lab

import (
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/testenv"
)

// Etcd is one member of an etcd cluster, in a host.
type Etcd struct {
	*Process
	Endpoint string // URL for clients

	host *Host
	argv []string
}

// EtcdMember says where a member of a cluster listens: at Addr, an address of
// Host, on the usual ports 2379 and 2380.
type EtcdMember struct {
	Host *Host
	Addr netip.Addr
}

// Etcd starts a cluster of one member or several and returns when all serve.
// Data lies in the lab's directory and survives Kill, Stop and Start. Needs
// program:etcd.
func (l *Lab) Etcd(members ...EtcdMember) []*Etcd {
	l.t.Helper()
	var cluster []string
	for _, m := range members {
		cluster = append(cluster, m.Host.name+"="+m.url(2380))
	}
	var started []*Etcd
	for _, m := range members {
		e := &Etcd{host: m.Host, Endpoint: m.url(2379)}
		e.argv = []string{
			testenv.Program("etcd"), "--name", m.Host.name, "--data-dir", filepath.Join(m.Host.Dir(), "etcd"),
			"--listen-client-urls", e.Endpoint, "--advertise-client-urls", e.Endpoint,
			"--listen-peer-urls", m.url(2380), "--initial-advertise-peer-urls", m.url(2380),
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-token", l.id,
			"--logger", "zap", "--log-level", "warn",
		}
		e.launch()
		started = append(started, e)
	}
	for _, e := range started {
		e.waitReady()
	}
	return started
}

func (m EtcdMember) url(port uint16) string {
	return "http://" + netip.AddrPortFrom(m.Addr, port).String()
}

// Start starts the member again after Kill or Stop, and returns when it
// serves: where it is one of several, when there is a leader.
func (e *Etcd) Start() {
	e.host.lab.t.Helper()
	e.launch()
	e.waitReady()
}

func (e *Etcd) launch() {
	e.host.lab.t.Helper()
	e.Process = e.host.Start("etcd", e.argv, ProcessOptions{})
}

func (e *Etcd) waitReady() {
	t := e.host.lab.t
	t.Helper()
	client := &http.Client{
		Timeout:   time.Second,
		Transport: &http.Transport{DialContext: e.host.DialContext, DisableKeepAlives: true},
	}
	Eventually(t, daemonStart, "host "+e.host.name+": etcd is healthy", func() error {
		if !e.Running() {
			return fmt.Errorf("etcd has ended: %w: %s", e.err, lastLines(e.Output(), 5))
		}
		resp, err := client.Get(e.Endpoint + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("health: %s", resp.Status)
		}
		return nil
	})
}
