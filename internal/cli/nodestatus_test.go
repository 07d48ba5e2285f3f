package cli

import (
	"strings"
	"testing"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestRemarkOfAReadyNode shows a node that lost its store: it is ready, and
// says what waits.
func TestRemarkOfAReadyNode(t *testing.T) {
	f := newFake(t)
	f.status = &vrouterv1.GetStatusResponse{Node: "host1", Ready: true, Conditions: []*vrouterv1.Condition{
		{Name: "store", Ok: true, Reason: "changes wait"}, {Name: "node", Ok: true},
	}}
	for _, remark := range []bool{true, false} {
		out := f.run("node", "status").out
		if !strings.Contains(out, "ready\n") || strings.Contains(out, "store       yes   changes wait") != remark {
			t.Errorf("with a remark: %t:\n%s", remark, out)
		}
		f.status.Conditions[0].Reason = ""
	}
}
