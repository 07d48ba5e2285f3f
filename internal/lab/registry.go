package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// root holds one directory per lab. The file "owner" in it is locked (flock)
// by the process that owns the lab: the kernel drops the lock however that
// process dies, and no reused pid can be mistaken for it.
const root = "/run/vrouter-lab"

// markVariable names the lab in the environment of every process started in
// one. Children inherit it, so that daemons that fork are found, too.
const markVariable = "VROUTER_LAB"

func labDir(id string) string { return filepath.Join(root, id) }

// register makes the directory of lab id and returns its locked owner file.
func register(id string) (*os.File, error) {
	unlock, err := lockRoot()
	if err != nil {
		return nil, err
	}
	defer unlock()
	// FRR and other daemons that drop privileges must be able to pass.
	if err := os.MkdirAll(labDir(id), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(labDir(id), "owner"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock owner file: %w", err)
	}
	return f, nil
}

// lockRoot serialises making and sweeping labs between processes: a directory
// whose owner file is not yet locked must not look dead.
func lockRoot() (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	d, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	if err := flock(d); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("lock %s: %w", root, err)
	}
	return func() { _ = d.Close() }, nil
}

// flock takes the exclusive lock of f, however long that takes.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Sweep removes what labs whose owner has died left: processes, namespaces,
// files. Labs with a living owner are not touched. It tells logf what it removes.
func Sweep(logf func(format string, args ...any)) error {
	unlock, err := lockRoot()
	if err != nil {
		return err
	}
	defer unlock()
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	var problems []error
	for _, e := range entries {
		if !e.IsDir() || alive(e.Name()) {
			continue
		}
		logf("removing lab %s, whose owner has died", e.Name())
		problems = append(problems, destroy(e.Name()))
	}
	return errors.Join(problems...)
}

// alive reports whether some process holds the owner file of lab id locked.
// An owner file that cannot be read counts as held.
func alive(id string) bool {
	f, err := os.OpenFile(filepath.Join(labDir(id), "owner"), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		return true
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}

// destroy removes everything that carries id. It can be repeated.
func destroy(id string) error {
	return errors.Join(killMarked(id), deleteNamespaces(id+"-"), os.RemoveAll(labDir(id)))
}

// killMarked kills the processes of lab id and returns when none is left.
func killMarked(id string) error {
	mark := []byte(markVariable + "=" + id)
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := 0
		pids, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		for _, e := range pids {
			if pid, err := strconv.Atoi(e.Name()); err == nil && killIfMarked(pid, mark) {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("kill processes of lab %s: %d are still there", id, left)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// killIfMarked reports whether process pid carried the mark. The pid file
// descriptor is taken before the environment is read, so that the signal
// cannot reach a later process with the same pid.
func killIfMarked(pid int, mark []byte) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || pid == os.Getpid() {
		return false
	}
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(variable, mark) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			return true
		}
	}
	return false
}

// markedEnv is base with the mark of lab id in place of any other.
func markedEnv(base []string, id string) []string {
	env := make([]string, 0, len(base)+1)
	for _, v := range base {
		if !strings.HasPrefix(v, markVariable+"=") {
			env = append(env, v)
		}
	}
	return append(env, markVariable+"="+id)
}
