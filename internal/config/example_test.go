package config

import (
	"errors"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const example = "../../configs/vrouterd.yaml"

// The example as it stands is the defaults.
func TestExampleIsTheDefaults(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	name := []byte("\nnode: {name: n1}")
	want, err := Parse("nothing", name)
	if err != nil {
		t.Fatal(err)
	}
	named := strings.Replace(string(data), "\nnode:", "\nnode:\n  name: n1", 1)
	got, err := Parse(example, []byte(named))
	if err != nil {
		t.Fatal(err)
	}
	opts := cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}, netip.AddrPort{})
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("-default +example:\n%s", diff)
	}
}

// The example with its examples uncommented is a valid file that gives every
// field there is.
func TestExampleIsComplete(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^( *)#([a-zA-Z-])`).ReplaceAllString(string(data), "$1$2")
	cfg, err := Parse(example, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Store.Mode != Etcd || len(cfg.BGP.Peers) != 2 || len(cfg.Log.Levels) != 2 {
		t.Errorf("examples were lost: %+v", cfg)
	}
	c := &checker{lines: map[string]int{}, bad: map[string]bool{}}
	c.decode([]byte(text), new(file))
	for _, path := range paths("", reflect.TypeFor[file]()) {
		if c.lines[path] == 0 {
			t.Errorf("the example lacks %s", path)
		}
	}
}

// paths returns the path of every field of a raw struct, that of a list's
// first element for what is in a list.
func paths(prefix string, typ reflect.Type) []string {
	var all []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		path := join(prefix, f.Tag.Get("yaml"))
		all = append(all, path)
		switch {
		case f.Type.Kind() == reflect.Struct:
			all = append(all, paths(path, f.Type)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			all = append(all, paths(path+"[0]", f.Type.Elem())...)
		}
	}
	return all
}

// FuzzParse asks that no file panics, that an error always has problems, and
// that the verdict on a file is always the same.
func FuzzParse(f *testing.F) {
	if data, err := os.ReadFile(example); err == nil {
		f.Add(data)
	}
	for _, seed := range []string{
		"", "---", "#", "node: {name: n, asNumber: 1.10}", "bgp: {peers: [{peerIP: [1]}, 5, {name: a}]}", "a: &x [*x]",
		"? {a: b}\n: c", "store: {endpoints: [unix:///x]}\n---\n", "log: !!binary aGk=", "metrics: !x {}", "workloads: {requirePool: !!bool ''}",
		"node: {ipv4Address: 'cidr=10.0.0.0/8,1.2.3.4/32', ipv6Address: can-reach=a.b}", "node: {ipv4Address: 'interface=^(a|b)$,c', ipv6Address: none}",
		`node: {ipv4Address: 'interface=a{1,2}, [],]\\,(,', ipv6Address: 'skip-interface=[^],\\'}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f", data)
		again, err2 := Parse("f", data)
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("%v, then %v", err, err2)
		}
		if !reflect.DeepEqual(cfg, again) {
			t.Fatalf("%+v, then %+v", cfg, again)
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || len(e.Problems) == 0) {
			t.Fatalf("error %#v", err)
		}
	})
}
