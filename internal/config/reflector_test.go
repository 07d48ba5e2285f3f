package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/resource"
)

func TestReflectorAndController(t *testing.T) {
	cfg, err := config.Parse("f", []byte("node: {name: n1}\nreflector: {originCheck: enforce}\ncontroller: {holdOff: 5s, retireAfter: 0s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Reflector.OriginCheck != resource.OriginCheckEnforce || cfg.Controller != (config.Controller{HoldOff: 5 * time.Second}) {
		t.Errorf("%+v, %+v", cfg.Reflector, cfg.Controller)
	}
	_, err = config.Parse("f", []byte("node: {name: n1}\nreflector: {originCheck: strict}\ncontroller: {holdOff: 2h, retireAfter: 5}\n"))
	for _, path := range []string{"reflector.originCheck", "controller.holdOff", "controller.retireAfter"} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s is not complained of: %v", path, err)
		}
	}
}
