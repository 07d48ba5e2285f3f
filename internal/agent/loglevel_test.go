package agent

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/view"
)

type setLevels []string

func (l *setLevels) Set(subsystem, level string) error {
	*l = append(*l, subsystem+"="+level)
	return nil
}

func TestLogLevelFollowsSettings(t *testing.T) {
	settings := func(name, level string) *resource.BGPConfiguration {
		return &resource.BGPConfiguration{
			Meta: resource.Meta{ID: resource.ID{Kind: resource.KindBGPConfiguration, Name: name}}, LogLevel: level,
		}
	}
	var got setLevels
	s := &sessions{node: "h1", levels: &got, log: hclog.NewNullLogger()}
	for _, configurations := range [][]*resource.BGPConfiguration{
		{settings("default", "")},                                    // nothing is set
		{settings("default", "debug"), settings("node.h2", "error")}, // not ours
		{settings("default", "debug"), settings("node.h1", "warn")},
		{settings("default", "info"), settings("node.h1", "warn")}, // overridden, so nothing changes
	} {
		s.logLevel(view.Fabric{Configurations: configurations})
	}
	if len(got) != 2 || got[0] != "bgp=debug" || got[1] != "bgp=warn" {
		t.Errorf("levels set: %v", got)
	}
}
