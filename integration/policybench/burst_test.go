package policybench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// run is a burst on its way. Its thread is locked, and that of the sink is
// another; calls that may block do so without the scheduler's knowledge.
type run struct {
	burst
	port int
	soft []string // schedstat files of the kernel's threads
	sink string   // that of the sink's thread; empty: there is none
}

// work is the processor time so far of this thread, the sink, and the kernel's
// threads.
func (r *run) work() time.Duration {
	var own unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &own); err != nil {
		return 0
	}
	sum := time.Duration(own.Nano())
	for _, path := range r.soft {
		sum += schedstat(path)
	}
	if r.sink != "" {
		sum += schedstat(r.sink)
	}
	return sum
}

// schedstat is what a thread has worked so far.
func schedstat(path string) time.Duration {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), " ")
	n, _ := strconv.ParseInt(first, 10, 64)
	return time.Duration(n)
}

// softThreads finds the kernel's threads that do what soft interrupts leave.
func softThreads() ([]string, error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(data), "ksoftirqd/") {
			out = append(out, filepath.Join(filepath.Dir(name), "schedstat"))
		}
	}
	return out, nil
}

// enter moves this thread into a network namespace.
func enter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", path, err)
	}
	return nil
}

// pin keeps this thread on a processor, and before others there.
func (r *run) pin(processor int) error {
	var set unix.CPUSet
	set.Set(processor % runtime.NumCPU())
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to a processor: %w", err)
	}
	if !r.Realtime {
		return nil
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: realtime}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("real-time priority: %w", err)
	}
	return nil
}

func (r *run) measure() (result, error) {
	switch r.Kind {
	case udpKind, udpNewKind:
		return r.datagrams(r.Kind == udpKind)
	case tripKind, connectKind, streamKind:
	default:
		return result{}, errors.New("no such kind")
	}
	processor := 0
	if r.Kind == streamKind {
		processor = 1
	}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread()
		l, err := r.listen(processor)
		ready <- err
		if err == nil {
			r.serve(l)
		}
	}()
	if err := <-ready; err != nil {
		return result{}, err
	}
	if err := enter(r.From); err != nil {
		return result{}, err
	}
	if err := r.pin(0); err != nil {
		return result{}, err
	}
	switch r.Kind {
	case tripKind:
		return r.trips()
	case connectKind:
		return r.connections()
	}
	return r.stream()
}

func sockaddr(a netip.Addr, port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
}

// during counts what f does until the time is over.
func (r *run) during(f func() (int, error)) (result, error) {
	limit := time.Duration(r.Seconds * float64(time.Second))
	var out result
	work, begun := r.work(), time.Now()
	for out.Wall < limit {
		n, err := f()
		if err != nil {
			return out, err
		}
		out.Count += n
		out.Wall = time.Since(begun)
	}
	out.Work = r.work() - work
	return out, nil
}

// mmsghdr is what sendmmsg(2) takes.
type mmsghdr struct {
	header unix.Msghdr
	_      uint32 // bytes sent
	_      uint32
}

// datagrams sends one flow. The sink has a small buffer and never reads, so
// that what is measured is the way to it.
func (r *run) datagrams(answered bool) (result, error) {
	if err := enter(r.To); err != nil {
		return result{}, err
	}
	sink, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return result{}, err
	}
	defer unix.Close(sink)
	err = errors.Join(unix.SetsockoptInt(sink, unix.SOL_SOCKET, unix.SO_RCVBUF, 2048), within(sink),
		unix.Bind(sink, sockaddr(netip.IPv4Unspecified(), r.port)), enter(r.From), r.pin(0))
	if err != nil {
		return result{}, err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return result{}, err
	}
	defer unix.Close(s)
	err = errors.Join(unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20), within(s),
		unix.Connect(s, sockaddr(r.Address, r.port)))
	if err != nil {
		return result{}, err
	}
	if err := greet(s, sink, answered); err != nil {
		return result{}, err
	}
	payload := make([]byte, datagram)
	vector := unix.Iovec{Base: &payload[0]}
	vector.SetLen(len(payload))
	messages := make([]mmsghdr, batch)
	for i := range messages {
		messages[i].header.Iov = &vector
		messages[i].header.SetIovlen(1)
	}
	return r.during(func() (int, error) {
		sent := 0
		for range 20 { // so that looking at the clock costs nothing
			n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s), uintptr(unsafe.Pointer(&messages[0])), batch, 0, 0, 0)
			switch errno {
			case 0:
				sent += int(n)
			case unix.EAGAIN, unix.ENOBUFS, unix.EINTR:
			default:
				return 0, fmt.Errorf("send: %w", errno)
			}
		}
		return sent, nil
	})
}

// within bounds how long a socket waits.
func within(s int) error {
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	return unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
}

// greet sends the first datagram, and has it answered.
func greet(s, sink int, answered bool) error {
	b := make([]byte, 1)
	if _, err := unix.Write(s, b); err != nil {
		return fmt.Errorf("send the first: %w", err)
	}
	_, from, err := unix.Recvfrom(sink, b, 0)
	if err != nil {
		return fmt.Errorf("receive the first: %w", err)
	}
	if !answered {
		return nil
	}
	if err := unix.Sendto(sink, b, 0, from); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if _, err := unix.Read(s, b); err != nil {
		return fmt.Errorf("receive the answer: %w", err)
	}
	return nil
}
