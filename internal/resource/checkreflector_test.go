package resource

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReflectorProblems(t *testing.T) {
	for _, c := range []struct{ name, manifest, want string }{
		{"neither members nor election", `{"kind":"ReflectorGroup","spec":{}}`, "spec.memberSelector"},
		{"both", `{"kind":"ReflectorGroup","spec":{"memberSelector":"all()","election":{"candidateSelector":"all()"}}}`,
			"spec.memberSelector"},
		{"no candidates, too many", `{"kind":"ReflectorGroup","spec":{"election":{"count":33,"topologyKey":"a b"}}}`,
			"spec.election.count spec.election.candidateSelector spec.election.topologyKey"},
		{"everything wrong at once", `{"kind":"ReflectorGroup","spec":{"nodeSelector":"((","memberSelector":"))","clusterID":"x",
			"longLivedRestartTime":"5000h","filters":["A_","f","f"],"originCheck":"enforce"}}`,
			"spec.nodeSelector spec.memberSelector spec.clusterID spec.originCheck spec.longLivedRestartTime spec.filters[0] spec.filters[2]"},
		{"one elected twice", `{"kind":"ReflectorMembership","spec":{"members":[{"node":"a"},{"node":"a"},{}]}}`,
			"spec.members[1].node spec.members[2].node"},
		{"drain", `{"kind":"Node","spec":{"drain":{"shutdownAfter":"soon","message":"` + strings.Repeat("ä", 128) + `"}}}`,
			"spec.drain.message spec.drain.shutdownAfter"},
		{"drain for ever", `{"kind":"Node","spec":{"drain":{"shutdownAfter":"Never"}}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			manifest := strings.Replace(c.manifest, `{"kind"`, `{"apiVersion":"vrouter/v1","metadata":{"name":"x"},"kind"`, 1)
			read, err := FromJSON([]byte(manifest))
			if err != nil {
				t.Fatal(err)
			}
			msg := read.Message
			Canonicalize(msg)
			_, err = Check(msg)
			var paths []string
			if invalid := (&Invalid{}); errors.As(err, &invalid) {
				for _, p := range invalid.Problems {
					paths = append(paths, p.Path)
				}
			}
			if diff := cmp.Diff(c.want, strings.Join(paths, " ")); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
