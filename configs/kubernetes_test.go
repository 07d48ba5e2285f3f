package configs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// object is a Kubernetes object as a tree.
type object map[string]any

// at returns what is at a path such as "spec/containers/0/image", nil if there
// is nothing.
func (o object) at(path string) any {
	var v any = map[string]any(o)
	for _, step := range strings.Split(path, "/") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// kubernetes reads the objects of a manifest by kind. A key that stands twice
// is an error of the parser.
func kubernetes(t *testing.T, path string) map[string]object {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, path)[path]))
	objects := make(map[string]object)
	for {
		var tree map[string]any
		err := decoder.Decode(&tree)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _ := tree["kind"].(string)
		if objects[kind] != nil || tree["apiVersion"] == nil {
			t.Fatalf("%s: %q twice, or without apiVersion", path, kind)
		}
		objects[kind] = tree
	}
}

// TestReflectorPods checks that the pods are what the manifest promises: not
// root, with one capability, apart from each other, probed, and configured.
func TestReflectorPods(t *testing.T) {
	const path = "kubernetes/reflector.yaml"
	objects := kubernetes(t, path)
	d := objects["Deployment"]
	const pod, container = "spec/template/spec/", "spec/template/spec/containers/0/"
	for at, want := range map[string]any{
		"spec/replicas":                             2,
		"spec/strategy/rollingUpdate/maxSurge":      0,
		pod + "hostNetwork":                         true,
		pod + "automountServiceAccountToken":        false,
		pod + "securityContext/runAsNonRoot":        true,
		pod + "securityContext/seccompProfile/type": "RuntimeDefault",
		pod + "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey": "kubernetes.io/hostname",
		container + "securityContext/readOnlyRootFilesystem":                                          true,
		container + "securityContext/capabilities/drop/0":                                             "ALL",
		container + "securityContext/capabilities/add/0":                                              "NET_BIND_SERVICE",
		container + "securityContext/capabilities/add/1":                                              nil,
		container + "livenessProbe/httpGet/path":                                                      "/healthz",
		container + "readinessProbe/httpGet/path":                                                     "/readyz",
		container + "startupProbe/httpGet/path":                                                       "/healthz",
		container + "command/1":                                                                       "reflector",
		container + "ports/0/containerPort":                                                           179,
	} {
		if got := d.at(at); got != want {
			t.Errorf("%s is %v, want %v", at, got, want)
		}
	}
	if got := objects["PodDisruptionBudget"].at("spec/maxUnavailable"); got != 1 {
		t.Errorf("the budget lets %v be away", got)
	}
	const label = "app.kubernetes.io/name"
	labels := d.at("spec/template/metadata/labels").(map[string]any)
	for who, selector := range map[string]any{
		"deployment": d.at("spec/selector/matchLabels"),
		"budget":     objects["PodDisruptionBudget"].at("spec/selector/matchLabels"),
		"affinity":   d.at(pod + "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchLabels"),
	} {
		if got := selector.(map[string]any)[label]; got != labels[label] || got == nil {
			t.Errorf("%s selects %v, and the pods are %v", who, got, labels[label])
		}
	}
	checkReflectorConfig(t, objects)
}

// checkReflectorConfig reads the configuration in the manifest as the program
// would, and looks whether what it names is mounted.
func checkReflectorConfig(t *testing.T, objects map[string]object) {
	t.Helper()
	text, _ := objects["ConfigMap"].at("data/vrouterd.yaml").(string)
	if strings.Contains(text, "name:") {
		t.Error("all reflectors would have one name")
	}
	cfg, err := config.Parse("vrouterd.yaml", []byte(strings.Replace(text, "node:\n", "node:\n  name: n1\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Metrics.Listen != ":9091" || cfg.Store.Mode != config.Etcd || cfg.Reflector.OriginCheck != resource.OriginCheckLog {
		t.Errorf("configuration: %+v", cfg)
	}
	var mounted []string
	for _, m := range objects["Deployment"].at("spec/template/spec/containers/0/volumeMounts").([]any) {
		mounted = append(mounted, m.(map[string]any)["mountPath"].(string))
	}
	for _, file := range []string{cfg.Store.TLS.CAFile, cfg.Store.TLS.CertFile, cfg.Store.TLS.KeyFile, cfg.API.Socket, cfg.Store.CopyFile, "/etc/vrouter/vrouterd.yaml"} {
		if !slices.ContainsFunc(mounted, func(dir string) bool { return strings.HasPrefix(file, dir+"/") }) {
			t.Errorf("%s is in none of %v", file, mounted)
		}
	}
}

// TestControllerPods checks those of the controller: no right at all, apart
// from each other, and a configuration that it can run with.
func TestControllerPods(t *testing.T) {
	objects := kubernetes(t, "kubernetes/controller.yaml")
	d := objects["Deployment"]
	const pod, container = "spec/template/spec/", "spec/template/spec/containers/0/"
	for at, want := range map[string]any{
		"spec/replicas":                                        2,
		pod + "securityContext/runAsNonRoot":                   true,
		container + "command/1":                                "controller",
		container + "securityContext/allowPrivilegeEscalation": false,
		container + "securityContext/capabilities/drop/0":      "ALL",
		container + "securityContext/capabilities/add":         nil,
		container + "readinessProbe/httpGet/path":              "/readyz",
		pod + "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey": "kubernetes.io/hostname",
	} {
		if got := d.at(at); got != want {
			t.Errorf("%s is %v, want %v", at, got, want)
		}
	}
	text, _ := objects["ConfigMap"].at("data/vrouterd.yaml").(string)
	cfg, err := config.Parse("vrouterd.yaml", []byte(text+"node: {name: n1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Store.Mode != config.Etcd {
		t.Errorf("store: %+v", cfg.Store)
	}
}
