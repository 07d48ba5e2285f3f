package iptables

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A namespace is a file descriptor of a network namespace; negative: the
// process's.
type namespace int

// do runs f on a thread in the namespace: sockets that it opens and processes
// that it starts are there.
func (n namespace) do(f func() error) (err error) {
	if n < 0 {
		return f()
	}
	runtime.LockOSThread()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the network namespace of the thread: %w", err)
	}
	defer back.Close()
	if err := unix.Setns(int(n), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer func() {
		if failed := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); failed != nil {
			// The thread stays locked, and ends with its goroutine.
			err = errors.Join(err, fmt.Errorf("leave network namespace: %w", failed))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}
