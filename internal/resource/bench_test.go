package resource

import "testing"

// BenchmarkDecodeCheck is what an agent does with each endpoint of the cluster
// when it starts.
func BenchmarkDecodeCheck(b *testing.B) {
	manifests, err := ReadManifests("", testdata(b, "workloadendpoint.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	w := manifests[1].Message
	Canonicalize(w)
	data, err := Encode(w)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		msg, err := Decode(KindWorkloadEndpoint, data, 7)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Check(msg); err != nil {
			b.Fatal(err)
		}
	}
}
