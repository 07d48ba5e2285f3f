package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// defaultSocketMode lets the group call, and nobody else.
const defaultSocketMode fs.FileMode = 0o660

// listenUnix listens on a Unix socket. A socket that a dead process left is
// replaced; one that answers, and a file that is no socket, are refused. The
// parent directory is made. Closing the listener removes the socket.
//
// The socket is bound in a directory that only we can enter, and moved to its
// place with mode and group set: at no time can somebody connect whom the mode
// keeps out.
func listenUnix(s Socket) (net.Listener, error) {
	parent := filepath.Dir(s.Path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("make directory of socket: %w", err)
	}
	if err := vacant(s.Path); err != nil {
		return nil, err
	}
	private, err := os.MkdirTemp(parent, ".s")
	if err != nil {
		return nil, fmt.Errorf("make private directory for socket %s: %w", s.Path, err)
	}
	defer os.RemoveAll(private)
	bound := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on socket %s: %w", s.Path, err)
	}
	l.SetUnlinkOnClose(false) // it would unlink the name that it was bound to
	if err := publish(bound, s); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	info, err := os.Lstat(s.Path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look at socket: %w", err), l.Close())
	}
	return &unixListener{UnixListener: l, path: s.Path, info: info}, nil
}

// vacant tells whether a socket may be put at path.
func vacant(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("socket %s is in use by a living process", path), c.Close())
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil // nobody listens: the rename puts ours in its place
	}
	return fmt.Errorf("socket %s may be in use: %w", path, err)
}

// publish gives a bound socket its mode and group and moves it to its place.
func publish(bound string, s Socket) error {
	mode := s.Mode
	if mode == 0 {
		mode = defaultSocketMode
	}
	if s.Group != "" {
		gid, err := groupID(s.Group)
		if err != nil {
			return err
		}
		if err := os.Chown(bound, -1, gid); err != nil {
			return fmt.Errorf("give socket %s to group %s: %w", s.Path, s.Group, err)
		}
	}
	if err := os.Chmod(bound, mode); err != nil {
		return fmt.Errorf("set mode of socket %s: %w", s.Path, err)
	}
	if err := os.Rename(bound, s.Path); err != nil {
		return fmt.Errorf("move socket to its place: %w", err)
	}
	return nil
}

func groupID(group string) (int, error) {
	if id, err := strconv.Atoi(group); err == nil {
		return id, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("group of the socket: %w", err)
	}
	return strconv.Atoi(g.Gid)
}

// unixListener removes its socket when closed, unless another process has put
// its own in that place meanwhile.
type unixListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

// Close removes the socket and stops listening.
func (l *unixListener) Close() error {
	if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.info) {
		_ = os.Remove(l.path) // left behind it is a stale socket, which the next start replaces
	}
	return l.UnixListener.Close()
}
