package store

import (
	"errors"
	"fmt"
	"strings"
)

const hexDigits = "0123456789ABCDEF"

// escapedDash is the namespace "-", which Escape alone would leave as it is.
const escapedDash = "%2D"

// Escape turns any text into one segment of a key: bytes outside printable
// ASCII, the slash, the space and the percent sign become %XX. It is injective,
// and what Kubernetes or Calico allow in a name stays as it is.
func Escape(s string) string {
	n := 0
	for i := range len(s) {
		if !plain(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if plain(s[i]) {
			b = append(b, s[i])
		} else {
			b = append(b, '%', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		}
	}
	return string(b)
}

// Unescape reverses Escape. It refuses what Escape would have written
// otherwise, so that no two keys mean the same.
func Unescape(s string) (string, error) {
	text, err := unescape(s)
	if err != nil {
		return "", err
	}
	if Escape(text) != s {
		return "", fmt.Errorf("segment %q: not in canonical form", s)
	}
	return text, nil
}

func plain(c byte) bool { return c > ' ' && c < 0x7f && c != '/' && c != '%' }

func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("segment %q: incomplete escape", s)
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("segment %q: bad escape %q", s, s[i:i+3])
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), nil
}

func escapeNamespace(namespace string) string {
	switch namespace {
	case "":
		return noNamespace
	case noNamespace:
		return escapedDash
	}
	return Escape(namespace)
}

func parseNamespace(s string) (string, error) {
	switch s {
	case noNamespace:
		return "", nil
	case escapedDash:
		return noNamespace, nil
	}
	return segment(s)
}

// segment unescapes a segment, which must not be empty.
func segment(s string) (string, error) {
	if s == "" {
		return "", errors.New("missing or empty segment")
	}
	return Unescape(s)
}
