package hostnet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Sysctls are kernel settings as files below a directory. Keys are paths
// ("net/ipv4/ip_forward"), because interface names may contain dots.
type Sysctls struct {
	root string
}

// KernelSysctls are those of the network namespace of the calling thread.
func KernelSysctls() Sysctls { return SysctlsAt("/proc/sys") }

// SysctlsAt are the files below root.
func SysctlsAt(root string) Sysctls { return Sysctls{root: root} }

// Get reads a value; fs.ErrNotExist when the kernel has no such key.
func (s Sysctls) Get(key string) (string, error) {
	data, err := os.ReadFile(s.path(key))
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", key, err)
	}
	return strings.TrimSpace(string(data)), nil
}

// Set writes a value unless it is there already, and returns what was there.
func (s Sysctls) Set(key, value string) (old string, err error) {
	old, err = s.Get(key)
	if err != nil || old == value {
		return old, err
	}
	// Never O_CREATE: a key that is gone must stay an error.
	f, err := os.OpenFile(s.path(key), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return old, fmt.Errorf("set sysctl %s to %s: %w", key, value, err)
	}
	_, err = f.WriteString(value)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return old, fmt.Errorf("set sysctl %s to %s: %w", key, value, err)
	}
	return old, nil
}

// List names what lies below a key, such as the interfaces of net/ipv6/conf.
func (s Sysctls) List(key string) ([]string, error) {
	entries, err := os.ReadDir(s.path(key))
	if err != nil {
		return nil, fmt.Errorf("list sysctl %s: %w", key, err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func (s Sysctls) path(key string) string { return filepath.Join(s.root, key) }
