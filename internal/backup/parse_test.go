package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// ended returns lines with the last line that they should have.
func ended(lines ...string) string {
	text := strings.Join(lines, "\n") + "\n"
	sum := sha256.Sum256([]byte(text))
	return text + fmt.Sprintf(`{"end":{"keys":%d,"sha256":"%s"}}`, len(lines)-1, hex.EncodeToString(sum[:])) + "\n"
}

const goodHeader = `{"format":"vrouter datastore export","version":1,"clusterGUID":"g","revision":7,"sequenceFloor":"9",` +
	`"locked":true,"secrets":true,"created":"2026-01-02T03:04:05Z","writer":"v"}`

// TestFormat holds version 1 of the format to what it is: files of it can be
// read for ever.
func TestFormat(t *testing.T) {
	text := ended(goodHeader, `{"key":"a/10.0.0.1","value":"eA=="}`, `{"key":"r/Node/-/n1","value":""}`)
	f, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Header{Format: formatName, Version: 1, ClusterGUID: "g", Revision: 7, SequenceFloor: 9, Locked: true, Secrets: true,
		Created: "2026-01-02T03:04:05Z", Writer: "v"}
	kvs := []KV{{"a/10.0.0.1", []byte("x")}, {"r/Node/-/n1", []byte{}}}
	same := func(a, b KV) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }
	if f.Header != want || !slices.EqualFunc(f.KVs, kvs, same) {
		t.Errorf("%+v", f)
	}
	var again bytes.Buffer
	if err := f.Write(&again); err != nil || again.String() != text {
		t.Errorf("%v\n%s", err, again.String())
	}
}

// TestParseRefuses: a file that is not whole, or is something else, is refused
// as a whole, with the line.
func TestParseRefuses(t *testing.T) {
	line := `{"key":"a/10.0.0.1","value":"eA=="}`
	good := ended(goodHeader, line)
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "ends after line 0"},
		{"something else", "apiVersion: v1\n", "line 1: it does not begin as an export"},
		{"another version", ended(strings.Replace(goodHeader, `"version":1`, `"version":2,"x":1`, 1)), "line 1: it is of version 2"},
		{"no guid", ended(strings.Replace(goodHeader, `"clusterGUID":"g",`, "", 1)), "clusterGUID"},
		{"no revision", ended(strings.Replace(goodHeader, `"revision":7`, `"revision":0`, 1)), "revision 0"},
		{"a floor too low", ended(strings.Replace(goodHeader, `"9"`, `"6"`, 1)), "sequenceFloor"},
		{"a floor that ends the numbers", ended(strings.Replace(goodHeader, `"9"`, `"18446744073709551615"`, 1)), "is above what a store gives out"},
		{"a bad time", ended(strings.Replace(goodHeader, "2026", "x", 1)), "created"},
		{"unknown field of the header", ended(strings.Replace(goodHeader, "{", `{"more":1,`, 1)), "unknown field"},
		{"no end", goodHeader + "\n" + line + "\n", "ends after line 2"},
		{"cut in a line", good[:len(good)-10], "line 3"},
		{"no line end", good[:len(good)-1], "line 3: the line is cut off"},
		{"changed", strings.Replace(good, "eA==", "eQ==", 1), "line 3: its checksum"},
		{"a line less", strings.Replace(good, line+"\n", "", 1), "it has 0 keys, and says 1"},
		{"more behind", good + line + "\n", "line 4: it comes after the last one"},
		{"twice", ended(goodHeader, line, line), "line 3: key"},
		{"out of order", ended(goodHeader, `{"key":"r/Node/-/n1","value":""}`, line), "line 3: key"},
		{"a key that is not exported", ended(goodHeader, `{"key":"live/agent/n1","value":""}`), "none that an export has"},
		{"a key without a value", ended(goodHeader, `{"key":"a/10.0.0.1"}`), "neither a key"},
		{"not base64", ended(goodHeader, `{"key":"a/10.0.0.1","value":"-"}`), "line 2"},
		{"two in a line", ended(goodHeader, line+line), "more than one"},
		{"too long", ended(goodHeader, `{"key":"a/10.0.0.1","value":"`+strings.Repeat("A", maxLine)+`"}`), "line 2"},
	} {
		_, err := Parse(strings.NewReader(c.text))
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, wanted one that says %q", c.name, err, c.says)
		}
	}
}

// TestDamage: no octet of a file may be another one, and none may be missing at
// its end.
func TestDamage(t *testing.T) {
	text := []byte(ended(goodHeader, `{"key":"a/10.0.0.1","value":"eA=="}`, `{"key":"r/Node/-/n1","value":""}`))
	for i := range text {
		if _, err := Parse(bytes.NewReader(text[:i])); err == nil {
			t.Errorf("taken without what comes after octet %d", i)
		}
		for _, bit := range []byte{1, 0x20, 0x80} {
			damaged := slices.Clone(text)
			damaged[i] ^= bit
			f, err := Parse(bytes.NewReader(damaged))
			// The last line is not summed up: it may be written otherwise, if it
			// says the same.
			if err == nil && (f.Sum == "" || len(f.KVs) != 2) {
				t.Errorf("taken with octet %d changed: %s", i, damaged)
			}
		}
	}
}

// TestCheck: what the API would refuse is refused, all of it, by its key.
func TestCheck(t *testing.T) {
	f, _ := filled(t).export()
	value := func(prefix string) *KV {
		for i := range f.KVs {
			if strings.HasPrefix(f.KVs[i].Key, prefix) {
				return &f.KVs[i]
			}
		}
		t.Fatalf("nothing begins with %s", prefix)
		return nil
	}
	encode := func(msg proto.Message) []byte {
		resource.Canonicalize(msg)
		text, err := resource.Encode(msg)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	add := func(key string, msg proto.Message) { f.KVs = append(f.KVs, KV{key, encode(msg)}) }
	claim := value("a/")
	claim.Value = []byte("r/WorkloadEndpoint/default/none")
	block, affinity, handle := value("ipam/block/"), value("ipam/host/"), value("ipam/handle/")
	block.Value, affinity.Value, handle.Value = []byte("x"), []byte("x"), []byte("x")
	add("r/Node/-/renamed", &vrouterv1.Node{Metadata: named("other")})
	add("r/IPPool/-/q", &vrouterv1.IPPool{Metadata: named("q"), Spec: &vrouterv1.IPPoolSpec{Cidr: proto.String("10.65.128.0/17")}})
	add("r/BGPPeer/-/p", &vrouterv1.BGPPeer{Metadata: named("p"), Spec: &vrouterv1.BGPPeerSpec{PeerIp: proto.String("nowhere")}})
	value(ipam.ConfigurationKey()).Value = encode(&vrouterv1.IPAMConfiguration{Metadata: named("default"),
		Spec: &vrouterv1.IPAMConfigurationSpec{AutoAllocateBlocks: proto.Bool(false)}})
	newer := &vrouterv1.Node{Metadata: named("newer"), Spec: &vrouterv1.NodeSpec{}}
	newer.Spec.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 0})
	add("r/Node/-/newer", newer)
	f.KVs = append(f.KVs, KV{"r/Nonsense/-/x", nil}, KV{"r/Node", nil}, KV{"a/010.0.0.1", nil})
	var bad *resource.Invalid
	if !errors.As(f.Check(), &bad) {
		t.Fatal("nothing was found")
	}
	var found []string
	for _, p := range bad.Problems {
		found = append(found, p.Path+" "+p.Reason)
	}
	all := strings.Join(found, "\n")
	for _, want := range []string{
		claim.Key + " it is claimed for r/WorkloadEndpoint/default/none", "is held by r/WorkloadEndpoint/default/none",
		block.Key + " decode block", affinity.Key + " ", handle.Key + " ", "r/Node/-/renamed it holds", "r/IPPool/-/q 10.65.128.0/17 overlaps",
		"r/BGPPeer/-/p: spec.peerIP", "r/Node/-/newer: spec unknown field", "r/Nonsense/-/x ", "r/Node ",
		ipam.ConfigurationKey() + ": spec.autoAllocateBlocks ", "a/010.0.0.1 ",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	if strings.Contains(all, "hush") || strings.Contains(all, "aHVzaA") {
		t.Errorf("a secret is told:\n%s", all)
	}
	for range 3 * maxProblems {
		f.KVs = append(f.KVs, KV{"r/Nonsense/-/x", nil})
	}
	if errors.As(f.Check(), &bad); len(bad.Problems) != maxProblems+1 {
		t.Errorf("%d problems are told", len(bad.Problems))
	}
}

// TestWithoutSecrets: they are not in the file, whatever else is.
func TestWithoutSecrets(t *testing.T) {
	r := filled(t)
	f, err := Read(t.Context(), r.store, false, "test", r.importing("").Now())
	if err != nil {
		t.Fatal(err)
	}
	whole, text := r.export()
	if f.Secrets || len(f.KVs) != len(whole.KVs)-1 || f.value("r/Secret/-/s") != nil {
		t.Errorf("%d of %d keys", len(f.KVs), len(whole.KVs))
	}
	if w := f.Warnings(); len(w) != 1 || !strings.Contains(w[0], "Secrets are not in the file") {
		t.Errorf("warnings %q", w)
	}
	if !bytes.Contains(text, []byte(`"r/Secret/-/s"`)) {
		t.Error("no secrets in a whole export")
	}
}

// TestExportOfNothing: a store that was never used is none to export.
func TestExportOfNothing(t *testing.T) {
	_, err := Read(t.Context(), store.NewMemory(), true, "", (&rig{}).importing("").Now())
	if !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

// FuzzParse: whatever is taken is written as it was read, and nothing panics.
func FuzzParse(f *testing.F) {
	f.Add([]byte(ended(goodHeader, `{"key":"a/10.0.0.1","value":"eA=="}`)))
	f.Add([]byte(ended(goodHeader, `{"key":"ipam/block/10.0.0.0%2F26","value":"eA=="}`, `{"key":"r/Node/-/n1","value":"Cgl2cm91dGVyL3Yx"}`)))
	f.Add([]byte(goodHeader + "\n"))
	f.Add([]byte("{}\n{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse(bytes.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
			// The sum is what keeps a fuzzer out: give it the right one.
			lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			if file, err = Parse(strings.NewReader(ended(lines...))); err != nil {
				return
			}
		}
		_ = file.Check() // must not panic
		var out bytes.Buffer
		if err := file.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(bytes.NewReader(out.Bytes()))
		if err != nil || again.Header != file.Header || !slices.EqualFunc(again.KVs, file.KVs, func(a, b KV) bool {
			return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
		}) {
			t.Errorf("%v: %+v was written and read as %+v", err, file, again)
		}
	})
}
