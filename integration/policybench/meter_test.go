package policybench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// meterCommand makes the test binary a meter.
const meterCommand = "policybench-meter"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == meterCommand {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// burst is one measurement: what is sent from one namespace to an address in
// another, for how long.
type burst struct {
	Kind     string
	From, To string // paths of network namespaces
	Address  netip.Addr
	Seconds  float64
	Realtime bool // before all other processes of the machine
}

// The kinds of bursts.
const (
	udpKind     = "udp"       // datagrams of 64 B of a flow that was answered once
	udpNewKind  = "udp-new"   // the same of one that never was: policy decides on each
	tripKind    = "trip"      // a byte there and back over TCP, both ends on one processor
	connectKind = "connect"   // a connection, a byte each way, its end
	streamKind  = "stream"    // as much as TCP can carry
	firstPort   = 7000        // of the sinks; one after the other, so that none is there still
	datagram    = 64          // bytes
	lastPort    = 30_000      // before the ephemeral ones
	realtime    = 20          // priority of SCHED_FIFO
	settle      = 1000        // round trips before the clock runs
	batch       = 64          // datagrams a call
	patience    = time.Minute // for the answer that begins a flow: only what is broken takes it
)

// result is what a burst cost. Work is processor time of both ends and of the
// kernel's threads that do what soft interrupts leave.
type result struct {
	Count int           // packets, round trips, connections, or KiB
	Work  time.Duration // for all
	Wall  time.Duration // for all
	Err   string        `json:",omitempty"`
}

// workEach is nanoseconds of work of each.
func (r result) workEach() float64 { return float64(r.Work.Nanoseconds()) / float64(r.Count) }

// wallEach is nanoseconds that passed for each.
func (r result) wallEach() float64 { return float64(r.Wall.Nanoseconds()) / float64(r.Count) }

// meter is the process that measures. It is one of its own so that nothing of
// the benchmark disturbs it: no collector, no preemption.
type meter struct {
	in  *json.Encoder
	out *json.Decoder
}

func newMeter(t testing.TB) *meter {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, meterCommand)
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMAXPROCS=6")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &meter{in: json.NewEncoder(in), out: json.NewDecoder(out)}
}

func (m *meter) measure(b burst) (r result, err error) {
	if err := m.in.Encode(b); err != nil {
		return r, err
	}
	if err := m.out.Decode(&r); err != nil {
		return r, err
	}
	if r.Err != "" {
		return r, fmt.Errorf("%s to %s: %s", b.Kind, b.Address, r.Err)
	}
	if r.Count == 0 {
		return r, fmt.Errorf("%s to %s: nothing was sent", b.Kind, b.Address)
	}
	return r, nil
}

// serve is the meter's side.
func serve(in io.Reader, out io.Writer) error {
	soft, err := softThreads()
	if err != nil {
		return err
	}
	decoder, encoder := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for port := firstPort; ; port++ {
		if port > lastPort {
			port = firstPort
		}
		var b burst
		if err := decoder.Decode(&b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		done := make(chan result)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
			r, err := (&run{burst: b, port: port, soft: soft}).measure()
			if err != nil {
				r.Err = err.Error()
			}
			done <- r
		}()
		if err := encoder.Encode(<-done); err != nil {
			return err
		}
	}
}
