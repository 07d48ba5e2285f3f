package bgp

import "fmt"

// MaxPassword is the greatest length of a Password in octets, which is that of
// the key that the kernel takes.
const MaxPassword = 80

// Password does not show itself when printed.
type Password string

// String says only whether there is one.
func (p Password) String() string {
	if p == "" {
		return "none"
	}
	return "hidden"
}

// GoString is String, for %#v.
func (p Password) GoString() string { return p.String() }

// MarshalText is String, for loggers that encode.
func (p Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Check says whether the kernel takes p as a key.
func (p Password) Check() error {
	if len(p) > MaxPassword {
		return fmt.Errorf("password of %d octets, the kernel takes %d at most", len(p), MaxPassword)
	}
	return nil
}
