package integration_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// hear returns the sources of datagrams that come to a port of a workload until
// one says so.
func hear(t *testing.T, w *lab.Workload, port int) func() ([]string, error) {
	t.Helper()
	var conn *net.UDPConn
	err := w.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: w.Addr(true).AsSlice(), Port: port})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return func() (sources []string, err error) {
		buffer := make([]byte, 16)
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return sources, err
			}
			if string(buffer[:n]) == "end" {
				return sources, nil
			}
			sources = append(sources, from.Addr().Unmap().String())
		}
	}
}

// A workload sends from other addresses than its own where its endpoint and the
// configuration allow it, and from these only.
func TestAllowedSources(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "spoof", 1)
	h := s.Daemon("h1", fabric.Settings{Extra: enforced})
	h.WaitReady()
	h.Apply(fabric.PoolManifest + `
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.all}
spec: {selector: all(), ingress: [{action: Allow}], egress: [{action: Allow}]}
`)
	h.SetSysctl("net.ipv4.conf.all.rp_filter", "0")
	const allowed, other = "172.30.0.7", "172.31.0.7"
	address, _ := fabric.Address(0, 0)
	from := h.Host.Workload("from", "califrom", address)
	from.AddAddr("lo", allowed+"/32")
	from.AddAddr("lo", other+"/32")
	r := fabric.Request(h.Name(), "from", "califrom", address)
	r.AllowSpoofedSourcePrefixes = []string{"172.30.0.0/24"}
	if _, err := h.Endpoint.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	to := labelled(t, h, "to", nil, 0, 1)
	listen := hear(t, to, 9)
	send := func(source netip.Addr, text string) error {
		return from.Do(func() error {
			conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)),
				net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Addr(true), 9)))
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write([]byte(text))
			return err
		})
	}
	heard := func(what string, want ...string) {
		t.Helper()
		lab.Eventually(t, fabric.Limit, what, func() error {
			for _, source := range []string{allowed, other} {
				if err := send(netip.MustParseAddr(source), "?"); err != nil {
					return err
				}
			}
			if err := send(from.Addr(true), "end"); err != nil {
				return err
			}
			got, err := listen()
			if err == nil && !slices.Equal(got, want) {
				err = errors.New("heard from " + strings.Join(got, " "))
			}
			return err
		})
	}
	heard("its own address only, while nothing is configured")
	for _, mode := range []string{"Any", "Disabled"} {
		h.Apply(fmt.Sprintf(`
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {workloadSourceSpoofing: %s}
`, mode))
		if mode == "Any" {
			heard("what the endpoint allows", allowed)
		} else {
			heard("its own address only, again")
		}
	}
	r.AllowSpoofedSourcePrefixes = nil
	if _, err := h.Endpoint.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, fabric.Limit, "the reverse path is strict again", func() error {
		if got := h.Sysctl("net.ipv4.conf.califrom.rp_filter"); got != "1" {
			return fmt.Errorf("rp_filter is %s", got)
		}
		return nil
	})
}
