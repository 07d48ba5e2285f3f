package reflectorbench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// usage is what processes have used since they started.
type usage struct {
	CPU  time.Duration // user and system
	RSS  int64         // bytes
	Peak int64         // bytes, the greatest RSS since forgetPeaks (VmHWM)
}

// usageOf adds up what processes and their children have used.
func usageOf(processes []*lab.Process) (usage, error) {
	var all usage
	for _, p := range processes {
		for _, pid := range family(p.Pid) {
			u, err := processUsage(pid)
			if err != nil {
				return usage{}, fmt.Errorf("usage of %s: %w", p.Name, err)
			}
			all.CPU += u.CPU
			all.RSS += u.RSS
			all.Peak += u.Peak
		}
	}
	return all, nil
}

// forgetPeaks makes the kernel count the greatest RSS from now on.
func forgetPeaks(processes []*lab.Process) {
	for _, p := range processes {
		for _, pid := range family(p.Pid) {
			// Of a process that has ended the next look says so; a kernel without
			// this has the peak of all scenarios so far, which is more, not less.
			_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
		}
	}
}

// family is a process and its children, theirs too.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", all[i]))
		if err != nil { // it has ended, or the kernel does not tell
			continue
		}
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

func processUsage(pid int) (usage, error) {
	// The process's CPU clock counts in nanoseconds; /proc/PID/stat counts in
	// ticks of 10 ms, longer than what a good reflector needs. The id is that
	// of clock_getcpuclockid(3): CPUCLOCK_SCHED of the whole process.
	const cpuClockSched = 2
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|cpuClockSched, &used); err != nil {
		return usage{}, fmt.Errorf("read the CPU clock: %w", err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, err
	}
	u := usage{CPU: time.Duration(used.Nano())}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "VmRSS":
			u.RSS, err = parseKiB(value)
		case "VmHWM":
			u.Peak, err = parseKiB(value)
		}
		if err != nil {
			return usage{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return u, nil
}

// parseKiB reads a size as /proc/PID/status writes it: "  1234 kB\n".
func parseKiB(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
	return n << 10, err
}

// ownCPU is the processor time of this process, the generator.
func ownCPU() time.Duration {
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &used); err != nil {
		return 0 // cannot fail with these arguments
	}
	return time.Duration(used.Nano())
}
