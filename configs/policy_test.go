package configs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/cli"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy/explain"
)

// recipes returns the directories of recipes: policy.yaml is what an operator
// applies, cluster.yaml what the probes run against.
func recipes(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("examples/policy/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recipes (%v)", err)
	}
	return dirs
}

// TestPolicyRecipes runs the probes of every recipe as an operator would.
func TestPolicyRecipes(t *testing.T) {
	for _, dir := range recipes(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var out, errs bytes.Buffer
			io := cli.IO{
				In: strings.NewReader(""), Out: &out, Err: &errs,
				Getenv: func(string) string { return "" }, Now: time.Now,
			}
			args := []string{"policy", "test", "-f", dir, "--probes", filepath.Join(dir, "probes.jsonl")}
			if code := cli.Run(t.Context(), io, args); code != 0 || errs.Len() > 0 {
				t.Errorf("exit code %d\n%s%s", code, &out, &errs)
			}
		})
	}
}

// TestPolicyRecipesSayNoMore takes away one thing at a time that a recipe has,
// down to each rule and network. Without it a probe must end differently: what
// is in a recipe has a reason, and the probes show it.
func TestPolicyRecipesSayNoMore(t *testing.T) {
	for _, dir := range recipes(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text := string(readFile(t, dir, "policy.yaml"))
			cluster := objects(t, dir, "cluster.yaml", string(readFile(t, dir, "cluster.yaml")))
			name := "probes.jsonl"
			if _, err := os.Stat(filepath.Join(dir, "enforced.jsonl")); err == nil {
				// Staged policies change nothing; these are the probes of the day
				// on which they are enforced.
				name, text = "enforced.jsonl", strings.ReplaceAll(text, "kind: Staged", "kind: ")
			}
			probes := probesOf(t, dir, name)
			recipe := objects(t, dir, "policy.yaml", text)
			if differ := differing(t, slices.Concat(cluster, recipe), probes); len(differ) > 0 {
				t.Fatalf("not as expected: %s", differ)
			}
			for i, object := range recipe {
				for what, less := range lessened(object) {
					all := slices.Concat(cluster, recipe[:i], less, recipe[i+1:])
					if len(differing(t, all, probes)) == 0 {
						t.Errorf("%s: no probe ends differently without %s", object.Metadata().ID, what)
					}
				}
			}
		})
	}
}

// lessened returns what may be left of an object, by what is gone; nothing for
// those that decide about no packet.
func lessened(object resource.Object) map[string][]resource.Object {
	less := map[string][]resource.Object{"it": nil}
	part := func(what string, o resource.Object) { less[what] = []resource.Object{o} }
	switch o := object.(type) {
	case *resource.ControllerConfiguration:
		return nil
	case *resource.NetworkSet:
		for i, net := range o.Nets {
			c := *o
			c.Nets = slices.Delete(slices.Clone(o.Nets), i, i+1)
			part(net.String(), &c)
		}
	case *resource.Policy:
		for _, d := range []resource.Direction{resource.DirectionIngress, resource.DirectionEgress} {
			for i, r := range o.Rules(d) {
				if r.Action == resource.ActionLog {
					continue
				}
				c := *o
				rules := &c.Ingress
				if d == resource.DirectionEgress {
					rules = &c.Egress
				}
				*rules = slices.Delete(slices.Clone(*rules), i, i+1)
				part(fmt.Sprintf("rule %d of %s", i, d), &c)
			}
		}
	}
	return less
}

// differing returns the probes that do not end as expected.
func differing(t *testing.T, all []resource.Object, probes []explain.Probe) []string {
	t.Helper()
	cluster, err := explain.New(all)
	if err != nil {
		t.Fatal(err)
	}
	var differ []string
	for _, p := range probes {
		answer, err := cluster.Explain(p)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if want := map[string]string{"allow": "allowed", "deny": "denied"}[p.Expect]; answer.GetVerdict() != want {
			differ = append(differ, p.String())
		}
	}
	return differ
}

// probesOf reads probes, some of which expect each end.
func probesOf(t *testing.T, dir, name string) []explain.Probe {
	t.Helper()
	probes, err := explain.ParseProbes(readFile(t, dir, name))
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]bool{}
	for _, p := range probes {
		ends[p.Expect] = true
	}
	if len(ends) != 2 {
		t.Errorf("%s/%s: all probes expect the same", dir, name)
	}
	return probes
}

// objects reads manifests, which must not make anybody warn.
func objects(t *testing.T, dir, name, text string) []resource.Object {
	t.Helper()
	manifests, err := resource.ReadManifests(filepath.Join(dir, name), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var list []resource.Object
	for _, m := range manifests {
		resource.Canonicalize(m.Message)
		object, err := resource.Check(m.Message)
		if err != nil {
			t.Fatalf("%s: %v", m.Source, err)
		}
		for _, w := range m.Warnings {
			t.Errorf("%s: %s", m.Source, w)
		}
		list = append(list, object)
	}
	return list
}

func readFile(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
