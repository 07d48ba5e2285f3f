package version

import "testing"

func TestString(t *testing.T) {
	version, commit := Version, Commit
	t.Cleanup(func() { Version, Commit = version, commit })

	for _, tt := range []struct{ version, commit, want string }{
		{"v1.2.3", "0123456789abcdef0123", "v1.2.3 (0123456789ab)"},
		{"v1.2.3", "0123abc", "v1.2.3 (0123abc)"},
		{"devel", "", "devel"}, // test binaries carry no checkout
	} {
		Version, Commit = tt.version, tt.commit
		if got := String(); got != tt.want {
			t.Errorf("String() = %q, want %q", got, tt.want)
		}
	}
}
