package lab_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// ownerVariable makes this test binary an owner of a lab, to be killed.
const ownerVariable = "LAB_TEST_OWNER"

// TestOwner is not a test but the body of that process.
func TestOwner(t *testing.T) {
	if os.Getenv(ownerVariable) == "" {
		return
	}
	l := lab.New(t, "doomed")
	h := l.Host("h")
	direct := h.Start("direct", []string{"sleep", "3600"}, lab.ProcessOptions{})
	// A daemon in a session of its own does not hear of its parent's death.
	h.Start("daemon", []string{"sh", "-c", "setsid sleep 3601 & echo $!; wait"}, lab.ProcessOptions{})
	fmt.Printf("%s %d\n", l.ID(), direct.Pid)
	<-t.Context().Done()
}

func TestKilledOwnerIsSweptLivingOwnerIsNot(t *testing.T) {
	testenv.Need(t, "root", "program:setsid")
	doomed, doomedID := startOwner(t)
	living, livingID := startOwner(t)
	t.Cleanup(func() {
		_ = living.Process.Kill()
		_ = living.Wait()
		if err := lab.Sweep(t.Logf); err != nil {
			t.Error(err)
		}
		if left := remains(livingID); len(left) != 0 {
			t.Errorf("remains after Sweep: %q", left)
		}
	})

	if err := doomed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = doomed.Wait()
	lab.New(t, "after")

	if left := remains(doomedID); len(left) != 0 {
		t.Errorf("remains of the dead lab: %q", left)
	}
	// Directory, namespace, two programs and the daemon's child.
	if left := remains(livingID); len(left) != 5 {
		t.Errorf("the living lab has lost something: %q", left)
	}
}

// startOwner runs TestOwner and returns when its lab stands.
func startOwner(t *testing.T) (cmd *exec.Cmd, id string) {
	t.Helper()
	cmd = exec.Command(os.Args[0], "-test.run=^TestOwner$")
	cmd.Env = append(os.Environ(), ownerVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ = strings.Cut(line, " ")
	lab.Eventually(t, limit, "lab "+id+" stands", func() error {
		r := remains(id)
		// Between two programs a process shows no environment for a moment.
		asleep := 0
		for _, what := range r {
			if strings.HasSuffix(what, " sleep") {
				asleep++
			}
		}
		if len(r) != 5 || asleep != 2 {
			return fmt.Errorf("it has %q", r)
		}
		return nil
	})
	return cmd, id
}

// remains lists what carries the id: directory, namespaces, processes by their
// number and program.
func remains(id string) []string {
	var found []string
	if _, err := os.Stat("/run/vrouter-lab/" + id); err == nil {
		found = append(found, "directory")
	}
	namespaces, _ := os.ReadDir("/run/netns")
	for _, e := range namespaces {
		if strings.HasPrefix(e.Name(), id) {
			found = append(found, e.Name())
		}
	}
	processes, _ := os.ReadDir("/proc")
	for _, e := range processes {
		program, _ := os.ReadFile("/proc/" + e.Name() + "/comm")
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err == nil && strings.Contains(string(env), "VROUTER_LAB="+id) {
			found = append(found, "process "+e.Name()+" "+strings.TrimSpace(string(program)))
		}
	}
	return found
}
