package resource

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of Kubernetes' names, labels and annotations, in bytes.
const (
	maxSubdomain   = 253
	maxLabel       = 63
	maxAnnotations = 256 << 10 // keys and values together
)

// checkSubdomain refuses what is no DNS subdomain (RFC 1123 §2.1) in lower case.
func checkSubdomain(s string) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	if len(s) > maxSubdomain {
		return fmt.Errorf("%d bytes long, at most %d are allowed", len(s), maxSubdomain)
	}
	for part := range strings.SplitSeq(s, ".") {
		if !dnsLabel(part) {
			return fmt.Errorf("%q is not a DNS name: lower-case letters, digits, '-' and '.', "+
				"with a letter or digit at both ends of each part", s)
		}
	}
	return nil
}

// checkDNSLabel refuses what is no DNS label in lower case.
func checkDNSLabel(s string) error {
	if len(s) > maxLabel {
		return fmt.Errorf("%d bytes long, at most %d are allowed", len(s), maxLabel)
	}
	if !dnsLabel(s) {
		return fmt.Errorf("%q is not a DNS label: lower-case letters, digits and '-', "+
			"with a letter or digit at both ends", s)
	}
	return nil
}

// dnsLabel leaves the length to its callers: Kubernetes bounds that of a name
// as a whole only.
func dnsLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && !lower(c) && !digit(c) {
			return false
		}
	}
	return true
}

// checkLabelKey refuses what Kubernetes does not take as the key of a label or
// annotation: [DNS name/]name.
func checkLabelKey(s string) error {
	prefix, name, prefixed := strings.Cut(s, "/")
	if !prefixed {
		name = s
	} else if err := checkSubdomain(prefix); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	if name == "" {
		return errors.New("the name must not be empty")
	}
	return checkLabelValue(name)
}

// checkLabelValue refuses what Kubernetes does not take as the value of a
// label. Empty is a value.
func checkLabelValue(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxLabel {
		return fmt.Errorf("%d bytes long, at most %d are allowed", len(s), maxLabel)
	}
	inner := func(c byte) bool { return c == '-' || c == '_' || c == '.' }
	for i := range len(s) {
		c := s[i]
		ok := lower(c) || upper(c) || digit(c) || inner(c) && i > 0 && i < len(s)-1
		if !ok {
			return fmt.Errorf("%q is not a label: letters, digits, '-', '_' and '.', "+
				"with a letter or digit at both ends", s)
		}
	}
	return nil
}

// checkCalicoName refuses what Calico does not take as the name of a port or
// profile.
func checkCalicoName(s string) error {
	const most = 128
	ok := s != "" && len(s) <= most
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = lower(c) || upper(c) || digit(c) || c == '_' || c == '.' || c == '-'
	}
	if !ok {
		return fmt.Errorf("%q is not a name: 1 to %d letters, digits, '_', '.' or '-'", s, most)
	}
	return nil
}

// ValidInterfaceName tells whether an object may hold a name that the kernel
// gives an interface.
func ValidInterfaceName(name string) bool {
	return utf8.ValidString(name) && checkInterfaceName(name) == nil
}

// checkInterfaceName refuses what Linux does not take as the name of an
// interface (dev_valid_name).
func checkInterfaceName(s string) error {
	const most = 15 // IFNAMSIZ less the terminating zero
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > most:
		return fmt.Errorf("%q is %d bytes long, the kernel takes at most %d", s, len(s), most)
	case s == "." || s == "..":
		return fmt.Errorf("%q is not the name of an interface", s)
	}
	for _, r := range s {
		if r == '/' || r == ':' || !printable(r) {
			return fmt.Errorf("%q holds %q, which the kernel does not take", s, r)
		}
	}
	return nil
}

// labels checks keys and values of labels, or keys and size of annotations.
func (p *problems) labels(path string, labels map[string]string, annotations bool) {
	size := 0
	for _, key := range sortedKeys(labels) {
		at := fmt.Sprintf("%s[%s]", path, key)
		value := labels[key]
		size += len(key) + len(value)
		if err := checkLabelKey(key); err != nil {
			p.addf(at, "key: %v", err)
		}
		if !annotations {
			p.err(at, checkLabelValue(value))
		}
	}
	if annotations && size > maxAnnotations {
		p.addf(path, "%d bytes together, at most %d are allowed", size, maxAnnotations)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func upper(c byte) bool { return c >= 'A' && c <= 'Z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }

// printable tells whether r may stand in a name: no blank, no control
// character, nothing invisible.
func printable(r rune) bool { return unicode.IsPrint(r) && !unicode.IsSpace(r) }
