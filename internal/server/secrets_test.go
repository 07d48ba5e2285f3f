package server

import (
	"bytes"
	"encoding/base64"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// leaks collects what was said, to callers and in logs.
type leaks struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *leaks) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// answer notes an answer, status and details of an error included.
func (l *leaks) answer(msg proto.Message, err error) {
	_, _ = l.Write([]byte(prototext.Format(msg)))
	_, _ = l.Write([]byte(prototext.Format(status.Convert(err).Proto())))
}

func (l *leaks) none(t *testing.T, values ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range values {
		for _, form := range []string{v, base64.StdEncoding.EncodeToString([]byte(v))} {
			if strings.Contains(l.all.String(), form) {
				t.Errorf("%q was given away:\n%s", form, l.all.String())
			}
		}
	}
}

func secret(name string, data map[string]string) *vrouterv1.Secret {
	return &vrouterv1.Secret{
		Metadata: &vrouterv1.Metadata{Name: proto.String(name)},
		Spec:     &vrouterv1.SecretSpec{StringData: data},
	}
}

// storedSecret returns the values that the store holds.
func (r *rig) storedSecret(name string) map[string]string {
	r.t.Helper()
	kv, _, err := r.store.Get(r.t.Context(), store.ResourceKey("Secret", "", name))
	if err != nil {
		r.t.Fatal(err)
	}
	msg, err := resource.Decode(resource.KindSecret, kv.Value, kv.ModRevision)
	if err != nil {
		r.t.Fatal(err)
	}
	checked, err := resource.Check(msg)
	if err != nil {
		r.t.Fatal(err)
	}
	values := map[string]string{}
	for key, value := range checked.(*resource.Secret).Data {
		values[key] = string(value)
	}
	return values
}

// TestSecretsAreNotGivenBack: no call, whether it succeeds or fails, and no log
// tells a value of a Secret, and what was shown is never stored in its place.
func TestSecretsAreNotGivenBack(t *testing.T) {
	const first, second, third, fourth = "value number one", "value number two", "value number three", "value number four"
	var l leaks
	r := newRig(t, func(o *Options) {
		o.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: &l})
	})
	put := func(mode vrouterv1.PutMode, msg proto.Message, dryRun bool) (*vrouterv1.Secret, error) {
		resp, err := r.resources.Put(t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(proto.Clone(msg)), Mode: mode, DryRun: dryRun})
		l.answer(resp, err)
		return resp.GetResource().GetSecret(), err
	}
	s := secret("bgp", map[string]string{"tor": first, "spine": second})
	for _, dryRun := range []bool{true, false, true} {
		shown, err := put(apply, s, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		if data := shown.GetSpec().GetData(); len(data) != 2 || data["tor"] == "" {
			t.Errorf("the keys are not shown: %v", data)
		}
	}
	got, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "secret", Name: "bgp"})
	l.answer(got, err)
	list, err := r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "Secret"})
	l.answer(list, err)
	if err != nil || len(list.Resources) != 1 {
		t.Fatalf("%v, %v", list, err)
	}

	// What was shown is refused, key by key, in every mode.
	shown := got.Resource.GetSecret()
	for _, mode := range []vrouterv1.PutMode{apply, replace} {
		_, err := put(mode, shown, false)
		wantPaths(t, err, "spec.data[spine]", "spec.data[tor]")
	}
	part := proto.Clone(shown).(*vrouterv1.Secret)
	part.Spec.StringData = map[string]string{"tor": third}
	_, err = put(replace, part, false)
	wantPaths(t, err, "spec.data[spine]")
	if values := r.storedSecret("bgp"); values["tor"] != first || values["spine"] != second {
		t.Errorf("what was shown changed what is stored: %q", values)
	}

	// Errors do not quote, either.
	bad := secret("bgp", map[string]string{"not a key": third})
	bad.Spec.Data = map[string]string{"tor": fourth + "!"}
	_, err = put(apply, bad, false)
	wantPaths(t, err, "spec.data[not a key]", "spec.data[tor]")
	_, err = put(create, secret("bgp", map[string]string{"tor": third}), false)
	wantCode(t, err, codes.AlreadyExists)

	part.Spec.StringData["spine"] = fourth
	if _, err := put(replace, part, false); err != nil {
		t.Fatal(err)
	}
	if values := r.storedSecret("bgp"); len(values) != 2 || values["tor"] != third || values["spine"] != fourth {
		t.Errorf("stored: %q", values)
	}

	stream, err := r.resources.Watch(t.Context(), &vrouterv1.WatchRequest{Kinds: []string{"Secret"}})
	if err != nil {
		t.Fatal(err)
	}
	event, err := stream.Recv()
	l.answer(event, err)
	if event.GetPut().GetSecret().GetSpec().GetData()["tor"] == "" {
		t.Errorf("watched: %v, %v", event, err)
	}
	deleted, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "Secret", Name: "bgp"})
	l.answer(deleted, err)
	if err != nil {
		t.Error(err)
	}
	l.none(t, first, second, third, fourth)
}

// TestSecretOfANewerVersion: fields that this version does not know may be
// values, and are shown to nobody.
func TestSecretOfANewerVersion(t *testing.T) {
	var l leaks
	r := newRig(t)
	s := secret("x", map[string]string{"a": "b"})
	resource.Canonicalize(s)
	s.Spec.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "of tomorrow"))
	value, err := resource.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	op := store.Op{Key: store.ResourceKey("Secret", "", "x"), Value: value}
	if _, err := r.store.Txn(t.Context(), nil, []store.Op{op}); err != nil {
		t.Fatal(err)
	}
	l.answer(r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "Secret", Name: "x"}))
	l.none(t, "of tomorrow")
}
