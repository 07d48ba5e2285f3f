package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where iproute2 keeps named network namespaces.
const netnsDir = "/run/netns"

// createNamespace makes a network namespace named as iproute2 would and
// returns a handle to it.
func createNamespace(name string) (netns.NsHandle, error) {
	unlock, err := lockNetnsDir()
	if err != nil {
		return netns.None(), err
	}
	defer unlock()
	path := filepath.Join(netnsDir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return netns.None(), err
	}
	_ = f.Close()
	err = onThread(netns.None(), func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare network namespace: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount namespace %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return netns.None(), errors.Join(err, os.Remove(path))
	}
	return netns.GetFromPath(path)
}

// lockNetnsDir takes the lock that iproute2 takes, and makes netnsDir a shared
// mount as iproute2 does. Were the first `ip netns add` of the machine to do
// that after our mounts, it would stack a second mount on each of them, and
// neither could be removed.
func lockNetnsDir() (unlock func(), err error) {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return nil, err
	}
	d, err := os.Open(netnsDir)
	if err != nil {
		return nil, err
	}
	if err := flock(d); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("lock %s: %w", netnsDir, err)
	}
	err = unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount point yet
		err = unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, "")
		if err == nil {
			err = unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("share mounts of %s: %w", netnsDir, err)
	}
	return func() { _ = d.Close() }, nil
}

// deleteNamespaces removes all named namespaces whose names begin with prefix.
// The kernel takes their links apart in the background.
func deleteNamespaces(prefix string) error {
	entries, err := os.ReadDir(netnsDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var problems []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			problems = append(problems, deleteNamespace(e.Name()))
		}
	}
	return errors.Join(problems...)
}

func deleteNamespace(name string) error {
	path := filepath.Join(netnsDir, name)
	// EINVAL: the maker died between making the file and mounting on it.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

// onThread runs f in the calling goroutine with its thread locked and, unless
// ns is None, inside ns; the thread's own namespace is restored afterwards,
// also when f ends by runtime.Goexit (t.Fatal).
func onThread(ns netns.NsHandle, f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer func() {
		if err := netns.Set(home); err != nil {
			// The thread would serve other goroutines in a wrong namespace.
			panic(fmt.Sprintf("return to own network namespace: %v", err))
		}
		_ = home.Close()
		runtime.UnlockOSThread()
	}()
	if ns != netns.None() {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
	}
	return f()
}
