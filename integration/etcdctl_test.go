package integration_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// storePrefix is where daemons keep their keys unless told otherwise.
const storePrefix = "/vrouter/v1/"

// etcdctl runs etcdctl against endpoints from a host of their network, again
// while they are busy or elect a leader. It gives up by itself after seconds, and
// these machines are busy.
func etcdctl(t *testing.T, h *lab.Host, endpoints []string, args ...string) string {
	t.Helper()
	var out []byte
	lab.Eventually(t, fabric.Limit, "etcdctl "+strings.Join(args, " "), func() (err error) {
		out, err = h.Run(t.Context(), etcdctlCommand(endpoints, args...)...)
		return err
	})
	return string(out)
}

func etcdctlCommand(endpoints []string, args ...string) []string {
	patient := "--command-timeout=" + fabric.Limit.String()
	return append([]string{testenv.Program("etcdctl"), patient, "--dial-timeout=" + fabric.Limit.String(),
		"--endpoints", strings.Join(endpoints, ",")}, args...)
}

// stored returns what is stored below a range, by the rest of the key.
func stored(t *testing.T, h *lab.Host, endpoints []string, under string) map[string]string {
	t.Helper()
	var answer struct {
		Kvs []struct{ Key, Value []byte } `json:"kvs"`
	}
	if err := json.Unmarshal([]byte(etcdctl(t, h, endpoints, "get", "--prefix", "-w", "json", storePrefix+under)), &answer); err != nil {
		t.Fatalf("get %s: %v", under, err)
	}
	values := make(map[string]string)
	for _, kv := range answer.Kvs {
		values[strings.TrimPrefix(string(kv.Key), storePrefix+under)] = string(kv.Value)
	}
	return values
}

// storedValue returns the value of a key.
func storedValue(t *testing.T, h *lab.Host, endpoints []string, key string) []byte {
	t.Helper()
	value, ok := stored(t, h, endpoints, key)[""]
	if !ok {
		t.Fatalf("%s is not stored", key)
	}
	return []byte(value)
}

// storeValue writes a value byte by byte, which no argument of a program can
// hold.
func storeValue(t *testing.T, h *lab.Host, endpoint, key string, value []byte) {
	t.Helper()
	h.MustRun("sh", "-c", fmt.Sprintf("echo %s | base64 -d | %s", base64.StdEncoding.EncodeToString(value),
		strings.Join(etcdctlCommand([]string{endpoint}, "put", storePrefix+key), " ")))
}

// leader returns the member that leads, when there is one.
func leader(t *testing.T, h *lab.Host, members []*lab.Etcd) (leads *lab.Etcd) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, "a member leads", func() error {
		for _, m := range members {
			var status []struct {
				Status struct {
					Header struct {
						MemberID uint64 `json:"member_id"`
					} `json:"header"`
					Leader uint64 `json:"leader"`
				}
			}
			if err := json.Unmarshal([]byte(etcdctl(t, h, []string{m.Endpoint}, "endpoint", "status", "-w", "json")), &status); err != nil {
				return fmt.Errorf("status of %s: %w", m.Endpoint, err)
			}
			if len(status) == 1 && status[0].Status.Leader == status[0].Status.Header.MemberID {
				leads = m
				return nil
			}
		}
		return errors.New("none does")
	})
	return leads
}

// swapData stops a member, has its data changed, and starts it.
func swapData(t *testing.T, m *lab.Etcd, change func()) {
	t.Helper()
	if err := m.Stop(t.Context()); err != nil && t.Context().Err() != nil {
		t.Fatalf("stop etcd: %v", err)
	}
	change()
	m.Start()
}

// dataDir is where a member on a host keeps its data.
func dataDir(h *lab.Host) string { return filepath.Join(h.Dir(), "etcd") }

// copyDir copies a directory to a place where there is none.
func copyDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatalf("copy %s: %v", from, err)
	}
}
