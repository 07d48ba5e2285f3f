package integration_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// TestSecretsStayInside has two hosts whose mesh has a password from a Secret,
// and a peer each with one from a file, with logs at level debug:
// sessions come up with them, and neither value is in logs, metrics, nor in
// anything that the API gives.
func TestSecretsStayInside(t *testing.T) {
	needDaemons(t)
	const stored, filed = "hidden-in-the-store", "hidden-in-a-file"
	s := fabric.NewSegment(t, "secrets", 1)
	for _, name := range []string{"h1", "h2"} {
		dir := filepath.Dir(s.Lab.File(filepath.Join(name, "secrets", "tor"), filed+"\n"))
		s.Daemon(name, fabric.Settings{BGP: fmt.Sprintf("  secretsDir: %s\n", dir)})
	}
	d := s.Hosts[0]
	d.WaitReady()
	d.Apply(fabric.PoolManifest + `---
apiVersion: vrouter/v1
kind: Secret
metadata: {name: bgp}
spec: {stringData: {mesh: ` + stored + `}}
---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 10.0.0.99, asNumber: 65001, password: {file: tor}}
`)
	for _, d := range s.Hosts {
		lab.Eventually(t, fabric.Limit, d.Name()+" has sessions with passwords", func() error {
			r, err := d.Status()
			if err != nil {
				return err
			}
			up := 0
			for _, p := range r.Peers {
				if !p.GetOptions().GetPassword() {
					return fmt.Errorf("no password: %v", p)
				}
				if p.State == "Established" {
					up++
				}
			}
			if up != 2 || len(r.Peers) != 3 {
				return fmt.Errorf("%d up: %v", up, r.Peers)
			}
			return nil
		})
	}
	said := map[string]string{"metrics": metricsOf(t, d)}
	for _, words := range []string{
		"node status -o wide", "node status -o json", "get secret -o yaml", "get secret bgp -o json",
		"get bgppeer -o yaml", "get bgpconfiguration -o yaml", "reflector status", "reflector peers -o json",
	} {
		out, err := d.Ctl(strings.Fields(words)...)
		if err != nil {
			t.Errorf("%s: %v\n%s", words, err, out)
		}
		said[words] = out
	}
	for _, d := range s.Hosts {
		said["log of "+d.Name()] = d.Process().Output()
	}
	for where, text := range said {
		for _, value := range []string{stored, filed} {
			if strings.Contains(text, value) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(value))) {
				t.Errorf("%s: %q is in it", where, value)
			}
		}
	}
	lab.Eventually(t, fabric.Limit, "the local copy is there, for the daemon alone", func() error {
		info, err := os.Stat(filepath.Join(d.Dir(), "state", "copy"))
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Fatalf("its mode is %s", info.Mode())
		}
		return err
	})
}

// metricsOf is what a daemon serves as metrics.
func metricsOf(t *testing.T, d *fabric.Daemon) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	r, err := client.Get("http://127.0.0.1:9091/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
