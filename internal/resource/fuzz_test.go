package resource

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// FuzzReadManifests: what is read survives a way through YAML and JSON, and
// what is accepted is the same after it was made canonical.
func FuzzReadManifests(f *testing.F) {
	for _, pattern := range []string{"*.yaml", "*.json", "calico/*.yaml"} {
		files, err := filepath.Glob("testdata/" + pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no manifests %s: %v", pattern, err)
		}
		for _, file := range files {
			f.Add(testdata(f, strings.TrimPrefix(file, "testdata/")))
		}
	}
	f.Add([]byte("apiVersion: vrouter/v1\nkind: Node\nmetadata: {annotations: {a: \"\\u0085\\uFEFF\\n x\\t'\\\"\"}}\n"))
	f.Add([]byte("apiVersion: vrouter/v1\nkind: BGPPeer\nspec: {asNumber: 1e300, localASNumber: '', peerIP: 'yes', filters: ['', 1:20, '- a']}\n"))
	f.Add([]byte("apiVersion: vrouter/v1\nkind: WorkloadEndpoint\nspec: {ports: [{protocol: 1x}, {protocol: '0'}, {protocol: udp}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		manifests, err := ReadManifests("f", data)
		var invalid *Invalid
		if err != nil && !errors.As(err, &invalid) {
			t.Errorf("an error that is not *Invalid: %v", err)
		}
		for _, m := range manifests {
			checkSameOnce(t, m.Message)
			raw := proto.Clone(m.Message)
			Canonicalize(m.Message)
			checkSame(t, m.Message)
			_, rawErr := Check(raw)
			_, err := Check(m.Message)
			if problemLines(rawErr) != problemLines(err) {
				t.Errorf("as it came: %v\ncanonical: %v", rawErr, err)
			}
		}
	})
}

// FuzzDecode: bytes from the store are decoded or refused, and what is decoded
// keeps all it had.
func FuzzDecode(f *testing.F) {
	for i, file := range manifestFiles(f) {
		manifests, err := ReadManifests(file, testdata(f, file))
		if err != nil {
			f.Fatal(err)
		}
		for _, m := range manifests {
			data, err := Encode(m.Message)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(i, data)
		}
	}
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		kinds := Kinds()
		kind := kinds[uint(i)%uint(len(kinds))]
		msg, err := Decode(kind, data, 7)
		if err != nil {
			return
		}
		again, err := Encode(msg)
		if err != nil {
			t.Fatal(err)
		}
		same, err := Decode(kind, again, 7)
		if err != nil {
			t.Fatal(err)
		}
		if want := withoutStatus(msg); !proto.Equal(want, same) {
			t.Errorf("was %v\nis %v", want, same)
		}
		var invalid *Invalid
		if _, err := Check(msg); err != nil && !errors.As(err, &invalid) {
			t.Errorf("an error that is not *Invalid: %v", err)
		}
		if _, err := ToYAML(msg); err != nil {
			t.Error(err)
		}
		Row(msg, true)
		if err := CheckUnknown(msg); err != nil && !errors.As(err, &invalid) {
			t.Errorf("an error that is not *Invalid: %v", err)
		}
	})
}

func withoutStatus(msg proto.Message) proto.Message {
	msg = proto.Clone(msg)
	if status := msg.ProtoReflect().Descriptor().Fields().ByName("status"); status != nil {
		msg.ProtoReflect().Clear(status)
	}
	return msg
}
