package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// lock makes sure that one daemon at a time serves a socket: two would undo
// each other's routes. The kernel frees it when the process ends, however.
func lock(socket string) (*os.File, error) {
	path := filepath.Join(filepath.Dir(socket), "vrouterd.lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another vrouterd runs: it holds %s", path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// hostID returns the identity of this host, made when it is first asked for.
// It tells a host that comes back from another one that claims its name.
func hostID(dir string) (string, error) {
	path := filepath.Join(dir, "host-id")
	data, err := os.ReadFile(path)
	if err == nil {
		id, err := uuid.Parse(strings.TrimSpace(string(data)))
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		return id.String(), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	id := uuid.NewString()
	if err := os.WriteFile(path+".new", []byte(id+"\n"), 0o600); err != nil {
		return "", err
	}
	return id, os.Rename(path+".new", path)
}

// hasStore reports whether an embedded store has been in use in dir.
func hasStore(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "member"))
	return err == nil
}

// maxSecret bounds what is read of a file with a secret, in octets: more is no
// password.
const maxSecret = 4096

// secretFile reads secrets in a directory by the names of their files, which
// have no slash. Links are followed, because orchestrators make secrets of them.
func secretFile(dir string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		f, err := os.Open(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			return nil, reason(err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return nil, reason(err)
		}
		if len(data) > maxSecret {
			return nil, fmt.Errorf("more than %d octets", maxSecret)
		}
		return data, nil
	}
}

// reason is err without the path, which whoever asked names in other words.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
