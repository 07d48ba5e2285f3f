package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/reflectorbench"
)

func TestOptions(t *testing.T) {
	o, format, err := options(nil, "/bin/self")
	if err != nil {
		t.Fatal(err)
	}
	if o.Clients != 100 || o.Routes != 1000 || o.Rounds != 3 || format != "text" ||
		!slices.Equal(o.Scenarios, reflectorbench.Scenarios()) {
		t.Errorf("options %+v, format %s", o, format)
	}
	o, format, err = options(strings.Fields(
		"-clients 5 -routes 20 -rounds 1 -targets floor,bird -scenarios late -rate 10 -duration 1s -timeout 1m -ipv6 -o json"), "/bin/self")
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Targets) != 2 || o.Targets[1].Name != "bird" || !o.IPv6 || o.Timeout != time.Minute || format != "json" {
		t.Errorf("options %+v, format %s", o, format)
	}
}

func TestWrongOptions(t *testing.T) {
	for args, want := range map[string]string{
		"-targets x":   `target "x" is not known`,
		"-scenarios x": `scenario "x" is not known`,
		"-o x":         "neither text nor json",
		"-clients 1":   "clients: 1",
		"more":         `unknown argument "more"`,
	} {
		if _, _, err := options(strings.Fields(args), "/bin/self"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
