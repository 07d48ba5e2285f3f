package fabric

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// Capture is all BGP packets that pass a host, from when it was begun, in a
// file that tshark reads. Needs program:tshark.
type Capture struct {
	host   *lab.Host
	t      lab.T
	path   string
	socket *os.File
	file   *os.File
	out    *bufio.Writer
	done   chan error
	err    error // of the end
	ended  bool
}

// captureBuffer is what a socket may hold while nobody reads, in bytes.
const captureBuffer = 64 << 20

// NewCapture begins to capture.
func NewCapture(t lab.T, h *lab.Host) *Capture {
	t.Helper()
	c := &Capture{host: h, t: t, path: filepath.Join(h.Dir(), fmt.Sprintf("bgp-%d.pcap", time.Now().UnixNano())), done: make(chan error, 1)}
	if err := h.Do(c.open); err != nil {
		t.Fatalf("capture on %s: %v", h.Name(), err)
	}
	t.Cleanup(func() { _ = c.end() })
	go func() { c.done <- c.read() }()
	return c
}

// open makes the socket, in the host's namespace, and the file: magic, version
// 2.4, the greatest length of a packet, Ethernet.
func (c *Capture) open() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(networkOrder(unix.ETH_P_ALL)))
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	c.socket = os.NewFile(uintptr(fd), "packets")
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer); err != nil {
		return fmt.Errorf("enlarge its buffer: %w", err)
	}
	if c.file, err = os.Create(c.path); err != nil {
		return err
	}
	c.out = bufio.NewWriter(c.file)
	return binary.Write(c.out, binary.NativeEndian, []uint32{0xa1b2c3d4, pcapVersion(2, 4), 0, 0, maxPacket, 1})
}

// maxPacket is more than a packet of segments that the kernel has yet to cut.
const maxPacket = 256 << 10

// networkOrder is n as a packet socket wants it.
func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// pcapVersion is two 16-bit numbers as they lie in memory.
func pcapVersion(major, minor uint16) uint32 {
	return binary.NativeEndian.Uint32(binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, major), minor))
}

// read takes packets until a deadline is set, then what the socket still has.
func (c *Capture) read() error {
	packet := make([]byte, maxPacket)
	for {
		n, err := c.socket.Read(packet)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return err
		}
		if err := c.write(packet[:n]); err != nil {
			return err
		}
	}
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed == nil {
			n, err := unix.Read(int(fd), packet)
			if err != nil {
				failed = err
				break
			}
			failed = c.write(packet[:n])
		}
		if errors.Is(failed, unix.EAGAIN) {
			failed = lost(int(fd))
		}
	})
	return errors.Join(err, failed)
}

// lost says whether the socket had no room for a packet.
func lost(fd int) error {
	s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil && s.Drops > 0 {
		err = fmt.Errorf("%d packets were dropped", s.Drops)
	}
	return err
}

// write keeps a packet of BGP.
func (c *Capture) write(packet []byte) error {
	if !isBGP(packet) {
		return nil
	}
	now := time.Now()
	err := binary.Write(c.out, binary.NativeEndian, []uint32{
		uint32(now.Unix()), uint32(now.Nanosecond() / 1000), uint32(len(packet)), uint32(len(packet)),
	})
	if err == nil {
		_, err = c.out.Write(packet)
	}
	return err
}

// isBGP reports whether an Ethernet frame is TCP from or to port 179.
func isBGP(frame []byte) bool {
	const ethernet, bgp = 14, 179
	if len(frame) < ethernet+1 {
		return false
	}
	packet := frame[ethernet:]
	ports := 40
	protocol := 6
	if packet[0]>>4 == 4 {
		ports = int(packet[0]&15) * 4
		protocol = 9
	}
	return len(packet) >= ports+4 && packet[protocol] == unix.IPPROTO_TCP &&
		(binary.BigEndian.Uint16(packet[ports:]) == bgp || binary.BigEndian.Uint16(packet[ports+2:]) == bgp)
}

// Stop ends the capture, which holds every packet that passed before.
func (c *Capture) Stop() {
	c.t.Helper()
	if err := c.end(); err != nil {
		c.t.Fatalf("capture on %s: %v", c.host.Name(), err)
	}
}

// end may be called twice.
func (c *Capture) end() error {
	if c.ended {
		return c.err
	}
	c.ended = true
	c.err = c.socket.SetReadDeadline(time.Unix(1, 0))
	if c.err == nil {
		c.err = <-c.done
	}
	c.err = errors.Join(c.err, c.socket.Close(), c.out.Flush(), c.file.Close())
	return c.err
}

// Faults is what tshark finds wrong with the messages of an address in the
// stopped capture: malformed ones, and what its dissector of BGP warns of. Of
// TCP it is not asked.
func (c *Capture) Faults(ctx context.Context, from netip.Addr) ([]string, error) {
	out, err := c.tshark(ctx, "-q", "-z", "expert,note,"+source(from)+" && bgp")
	if err != nil {
		return nil, err
	}
	var faults []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) >= 3 && (fields[2] == "BGP" || fields[1] == "Malformed") {
			faults = append(faults, strings.Join(fields, " "))
		}
	}
	return faults, nil
}

// Messages counts the messages of a type (RFC 4271 §4.1) in the stopped
// capture, from one address to another.
func (c *Capture) Messages(ctx context.Context, kind int, from, to netip.Addr) (int, error) {
	filter := fmt.Sprintf("%s && %s && bgp.type == %d", source(from), destination(to), kind)
	out, err := c.tshark(ctx, "-Y", filter, "-T", "fields", "-e", "bgp.type")
	if err != nil {
		return 0, err
	}
	n := 0
	for _, field := range strings.FieldsFunc(out, func(r rune) bool { return r == ',' || r == '\n' }) {
		if field == fmt.Sprint(kind) {
			n++
		}
	}
	return n, nil
}

// Withdrawals counts the UPDATEs in the stopped capture by which one address
// withdraws routes from another.
func (c *Capture) Withdrawals(ctx context.Context, from, to netip.Addr) (int, error) {
	return c.Packets(ctx, from, to, "(bgp.withdrawn_prefix || bgp.mp_unreach_nlri_ipv6_prefix)")
}

// Packets counts what matches a display filter of tshark in the stopped
// capture, from one address to another.
func (c *Capture) Packets(ctx context.Context, from, to netip.Addr, filter string) (int, error) {
	filter = fmt.Sprintf("%s && %s && %s", source(from), destination(to), filter)
	out, err := c.tshark(ctx, "-Y", filter, "-T", "fields", "-e", "frame.number")
	return len(strings.Fields(out)), err
}

func (c *Capture) tshark(ctx context.Context, args ...string) (string, error) {
	out, err := c.host.Run(ctx, append([]string{testenv.Program("tshark"), "-n", "-r", c.path}, args...)...)
	return string(out), err
}

func source(a netip.Addr) string {
	if a.Is4() {
		return "ip.src == " + a.String()
	}
	return "ipv6.src == " + a.String()
}

func destination(a netip.Addr) string {
	return strings.Replace(source(a), ".src", ".dst", 1)
}
