package main

import (
	"io"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp/bmp"
	"github.com/projectvrouter/vrouter/bgp/engine"
	"github.com/projectvrouter/vrouter/bgp/mrt"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/version"
)

// monitoring lets stations be told what the speaker hears; nil: there are none.
func monitoring(cfg config.Config, speaker *engine.Engine, log hclog.Logger) *bmp.Exporter {
	if len(cfg.BMP) == 0 {
		return nil
	}
	o := bmp.Options{Name: cfg.Node.Name, Description: "vrouterd " + version.String(), Logger: log.Named("bmp")}
	post := false
	for _, s := range cfg.BMP {
		post = post || s.PostPolicy
		o.Stations = append(o.Stations, bmp.Station{Address: s.Address, Post: s.PostPolicy, Statistics: s.StatisticsInterval})
	}
	exporter := bmp.New(speaker, o)
	speaker.Observe(exporter, post)
	return exporter
}

// dump is agent.Options.Dump over the speaker.
func dump(speaker *engine.Engine) func(io.Writer, string, uint32, netip.Addr) error {
	return func(w io.Writer, node string, asn uint32, routerID netip.Addr) error {
		return mrt.Dump(w, speaker, mrt.Options{RouterID: routerID, ASN: asn, View: node, Time: time.Now()})
	}
}
