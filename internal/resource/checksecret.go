package resource

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// maxSecret bounds the values of a Secret together, in bytes. Passwords are
// short, and every host keeps every Secret.
const maxSecret = 16 << 10

// hidden stands in the place of each value of a Secret that is shown. It is no
// base64, so that what was shown is never taken for values.
const hidden = "(hidden)"

// secret checks a Secret. No problem tells anything of a value.
func (p *problems) secret(meta Meta, spec *vrouterv1.SecretSpec) *Secret {
	s := &Secret{Meta: meta, Data: make(map[string]SecretValue)}
	data := maps.Clone(spec.GetData())
	if data == nil {
		data = make(map[string]string)
	}
	for key, value := range spec.GetStringData() { // of what is not canonical
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	if len(data) == 0 {
		p.addf("spec.stringData", "a value is needed")
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(data)) {
		at := fmt.Sprintf("spec.data[%s]", key)
		if err := checkSecretKey(key); err != nil {
			p.addf(at, "key: %v", err)
		}
		value, err := base64.StdEncoding.DecodeString(data[key])
		switch {
		case data[key] == hidden:
			p.addf(at, "%s is shown in place of a value; writing a Secret needs all its values", hidden)
		case err != nil:
			p.addf(at, "is not base64")
		case len(value) == 0:
			p.addf(at, "must not be empty")
		}
		size += len(value)
		s.Data[key] = value
	}
	if size > maxSecret {
		p.addf("spec", "%d bytes of values together, at most %d are allowed", size, maxSecret)
	}
	return s
}

// checkSecretKey refuses what Kubernetes does not take as the key of a Secret.
func checkSecretKey(s string) error {
	ok := s != "" && s != "." && s != ".." && len(s) <= maxSubdomain
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = lower(c) || upper(c) || digit(c) || c == '-' || c == '_' || c == '.'
	}
	if s == "" {
		return errors.New("must not be empty")
	}
	if !ok {
		return fmt.Errorf("%q is not a key: up to %d letters, digits, '-', '_' and '.'", clip(s), maxSubdomain)
	}
	return nil
}

// canonicalizeSecret moves texts to where bytes are.
func canonicalizeSecret(spec *vrouterv1.SecretSpec) {
	for key, value := range spec.Data {
		if plain, err := base64.StdEncoding.DecodeString(value); err == nil {
			spec.Data[key] = base64.StdEncoding.EncodeToString(plain) // without line breaks
		}
	}
	for key, value := range spec.StringData {
		if spec.Data == nil {
			spec.Data = make(map[string]string)
		}
		spec.Data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	spec.StringData = nil
}

// Redact takes the values out of an object that is to be shown, in place; only
// a Secret has any. Fields that this version does not know go as well: they
// could be values.
func Redact(msg proto.Message) {
	s, ok := msg.(*vrouterv1.Secret)
	if !ok {
		return
	}
	s.ProtoReflect().SetUnknown(nil)
	if s.Spec == nil {
		return
	}
	s.Spec.ProtoReflect().SetUnknown(nil)
	shown := make(map[string]string)
	for _, values := range []map[string]string{s.Spec.Data, s.Spec.StringData} {
		for key := range values {
			shown[key] = hidden
		}
	}
	s.Spec.Data, s.Spec.StringData = shown, nil
}
