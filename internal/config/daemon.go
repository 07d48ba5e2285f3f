package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// maxInterfaceName is IFNAMSIZ less its closing zero.
const maxInterfaceName = 15

func (c *checker) workloads(raw *rawWorkloads) Workloads {
	w := Workloads{
		InterfacePrefixes: []string{"cali", "tap", "veth", "vr"},
		RequirePool:       raw.RequirePool == nil || *raw.RequirePool,
	}
	if raw.InterfacePrefixes != nil {
		w.InterfacePrefixes = raw.InterfacePrefixes
	}
	for i, prefix := range raw.InterfacePrefixes {
		if prefix == "" || len(prefix) > maxInterfaceName || strings.ContainsAny(prefix, "/: \t\n") {
			c.problem(index("workloads.interfacePrefixes", i), "%q cannot begin the name of an interface", prefix)
		}
	}
	return w
}

func (c *checker) policy(raw *string) Policy {
	return Policy(c.oneOf("policy", raw, string(PolicyEnforce), string(PolicyOff)))
}

func (c *checker) dataplane(raw *string) Dataplane {
	return Dataplane(c.oneOf("dataplane", raw, string(DataplaneAuto), string(DataplaneNFTables),
		string(DataplaneIPTables), string(DataplaneIPTablesNFT), string(DataplaneIPTablesLegacy)))
}

func (c *checker) log(raw *rawLog) Log {
	l := Log{
		Level:  c.level("log.level", text(raw.Level, "info")),
		Levels: map[string]hclog.Level{},
		JSON:   c.oneOf("log.format", raw.Format, "text", "json") == "json",
	}
	for _, name := range slices.Sorted(maps.Keys(raw.Levels)) {
		path := join("log.levels", name)
		if name == "" || strings.ContainsAny(name, ". \t\n") {
			c.problem(path, "%q is not the name of a subsystem", name)
		}
		l.Levels[name] = c.level(path, raw.Levels[name])
	}
	return l
}

func (c *checker) level(path, name string) hclog.Level {
	level := hclog.LevelFromString(name)
	if level == hclog.NoLevel {
		c.problem(path, "%q is none of trace, debug, info, warn, error, off", name)
	}
	return level
}

func (c *checker) stations(path string, raw []rawStation) []Station {
	var stations []Station
	seen := make(map[string]bool)
	for i, r := range raw {
		at := index(path, i)
		c.needed(at+".address", r.Address != nil, "")
		s := Station{
			PostPolicy:         r.PostPolicy != nil && *r.PostPolicy,
			StatisticsInterval: c.duration(at+".statisticsInterval", r.StatisticsInterval, time.Minute, time.Second, 24*time.Hour),
		}
		if r.Address != nil {
			s.Address = c.hostPort(at+".address", *r.Address)
			if seen[s.Address] {
				c.problem(at+".address", "%s stands here twice", s.Address)
			}
			seen[s.Address] = true
		}
		stations = append(stations, s)
	}
	return stations
}

func (c *checker) metrics(raw *rawMetrics) Metrics {
	m := Metrics{Pprof: raw.Pprof != nil && *raw.Pprof}
	if listen := text(raw.Listen, "127.0.0.1:9091"); listen != "" && listen != "off" {
		m.Listen = c.listen("metrics.listen", listen)
	} else if m.Pprof {
		c.problem("metrics.pprof", "has a meaning only with metrics.listen")
	}
	return m
}
