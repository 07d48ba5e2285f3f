package bgp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// password is what a setting refers to, and why there can be no session without
// it. What is refused never shows the value.
func (b *builder) password(ref *resource.SecretRef) (p Password, refused string) {
	if ref == nil {
		return "", ""
	}
	value, missing, err := b.secret(ref)
	switch {
	case err != nil && missing && ref.Optional:
		return "", ""
	case err != nil:
		return "", fmt.Sprintf("password: %v: no session without it", err)
	}
	p = Password(value)
	if err := p.Check(); err != nil {
		return "", fmt.Sprintf("%v: no session without it", err)
	}
	return p, ""
}

// secret is the value that ref names; missing says that an error means no more
// than that there is none. An empty value is none: it would be no password.
// The line end that editors put behind the last line of a file is not part of
// it.
func (b *builder) secret(ref *resource.SecretRef) (value []byte, missing bool, err error) {
	if ref.File != "" {
		if b.in.File == nil {
			return nil, true, fmt.Errorf("file %s: this host has no directory of secrets", ref.File)
		}
		value, err = b.in.File(ref.File)
		if err != nil {
			return nil, errors.Is(err, fs.ErrNotExist), fmt.Errorf("file %s: %w", ref.File, err)
		}
		value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
		if len(value) == 0 {
			return nil, true, fmt.Errorf("file %s is empty", ref.File)
		}
		return value, false, nil
	}
	s := b.secrets[ref.Name]
	switch {
	case s == nil:
		return nil, true, fmt.Errorf("there is no Secret %s", ref.Name)
	case len(s.Data[ref.Key]) == 0:
		return nil, true, fmt.Errorf("the Secret %s has no key %s", ref.Name, ref.Key)
	}
	return s.Data[ref.Key], false, nil
}
