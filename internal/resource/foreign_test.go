package resource

import (
	"slices"
	"strings"
	"testing"
)

// TestReadForeign: what is of a foreign kind is returned as it is, each object
// by itself and only if it is sound; everything else is read as ever.
func TestReadForeign(t *testing.T) {
	manifests, foreign, err := ReadForeign("f", []byte(`
apiVersion: crd.projectcalico.org/v1
kind: IPAMBlockList
items:
- spec: {cidr: 10.0.0.0/26, affinity: null, sequenceNumber: 1709640000000000012}
- spec: {cidr: 10.0.0.64/26, cidr: x}
- spec: {cidr: !!binary aGk=}
---
{apiVersion: projectcalico.org/v3, kind: NetworkSetList, items: null}
---
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: t}}
---
{apiVersion: example.com/v1, kind: IPAMBlock}
`), "IPAMBlock")
	if len(manifests) != 1 || manifests[0].Source != "f: document 3" {
		t.Errorf("manifests %v", manifests)
	}
	want := Foreign{"f: document 1, item 1", "IPAMBlock", []byte(`{"spec":{"cidr":"10.0.0.0/26","affinity":null,"sequenceNumber":1709640000000000012}}`)}
	if len(foreign) != 1 || foreign[0].Source != want.Source || foreign[0].Kind != want.Kind || string(foreign[0].JSON) != string(want.JSON) {
		t.Errorf("foreign %s", foreign)
	}
	if err == nil {
		t.Fatal("nothing was refused")
	}
	got := strings.Split(err.Error(), "\n")
	for n, says := range []string{"f: document 1, item 2: line 6: spec.cidr: given twice", "f: document 1, item 3: line 7: spec.cidr: values of type",
		"f: document 4: line 13: apiVersion: "} {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, says) }) || len(got) != 3 {
			t.Errorf("problem %d: none says %q:\n%s", n, says, err)
		}
	}
	for text, says := range map[string]string{"": "0 values", "{} {}": "2 values", `{"a":{"b":1,"b":2}}`: "a.b: given twice", "{": "unexpected end"} {
		if _, err := ReadForeignJSON("j", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "j: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
