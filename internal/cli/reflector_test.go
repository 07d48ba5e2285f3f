package cli

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestWatchReflector: watches show what changes, once, and what is gone after
// all was told anew.
func TestWatchReflector(t *testing.T) {
	f := newFake(t)
	f.status, f.rib = busyNode(), ribRoutes()
	peers := f.watching("reflector", "peers", "-w")
	routes := f.watching("reflector", "routes", "-w", "--best")
	asJSON := f.watching("rr", "routes", "-w", "-o", "json")
	peers.out.until(t, "host2")
	routes.out.until(t, "10.65.2.0/26")
	asJSON.out.until(t, `{"type":"ADDED","object":{"prefix":"10.65.2.0/26"`)
	f.change(func() {
		f.status = proto.CloneOf(f.status)
		f.status.Peers[1].State = "Established"
		f.rib = f.rib[1:]
		f.rib[0].Advertised = true
	})
	peers.out.until(t, "MODIFIED   host2")
	const want = `EVENT      PREFIX          PATH                   PEER              LOCAL PREF   AS PATH       WHY NOT
ADDED      10.65.0.12/32   * ours
ADDED      10.66.0.1/32      ours                                                              outside the pools
ADDED      10.65.1.7/32    * 10.0.0.2             mesh/host2/ipv4   100
ADDED      10.65.2.0/26    * 10.0.0.254 (stale)   tor1              100          65001 64513
MODIFIED   10.66.0.1/32    * ours                                                              outside the pools
DELETED    10.65.0.12/32   * ours
`
	if got := routes.out.until(t, "DELETED"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	asJSON.out.until(t, `{"type":"DELETED","object":{"prefix":"10.65.0.12/32"`)
	if code := routes.stop(); code != ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, ExitInterrupted)
	}
}

func TestDumpFile(t *testing.T) {
	f := newFake(t)
	path := filepath.Join(t.TempDir(), "rib.mrt")
	if r := f.run("reflector", "dump", "--mrt", path); r.code != ExitOK || r.out != path+" written: 24 bytes\n" {
		t.Errorf("exit code %d:\n%s", r.code, r.both)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "first part, second part\n" {
		t.Errorf("dump: %q, %v", data, err)
	}
	f.server.Stop()
	if r := f.run("reflector", "dump", "--mrt", path+"2"); r.code == ExitOK {
		t.Errorf("without a server: %s", r.both)
	}
	if files, _ := filepath.Glob(path + "2*"); len(files) > 0 {
		t.Errorf("half a dump is left: %v", files)
	}
}
