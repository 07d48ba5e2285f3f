// Vrouter-demo runs a small fabric on one machine and shows that it works: two
// racks with two hosts each, an FRR switch per rack, a BIRD spine, etcd behind
// it. Workloads are registered through the API, everybody pings everybody, a
// policy keeps one from another, the tables of host, switch and spine are
// printed, and one daemon is killed under traffic that must not lose a packet.
//
// Everything lives in network namespaces that the demo makes and removes: no
// packet leaves the machine, and no route, link or sysctl of the machine itself
// is touched. It starts the vrouterd and vrouterctl that lie beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vrouter-demo:", err)
		os.Exit(1)
	}
}

// run is the whole demo. Its error is the first thing that was not as it
// should be; whatever was made is gone when it returns.
func run(ctx context.Context, out, errOut io.Writer) error {
	dir, err := prepare()
	if err != nil {
		return err
	}
	if err := os.Setenv("VROUTER_BIN", dir); err != nil { // read by the fabric
		return err
	}
	start := time.Now()
	p := &printer{out: out}
	logf := func(format string, args ...any) {
		if ctx.Err() == nil { // who interrupts does not ask for the logs
			fmt.Fprintf(errOut, format+"\n", args...)
		}
	}
	err = lab.Main(ctx, logf, func(t lab.T) { demonstrate(t, p) })
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; everything is removed")
	case err != nil:
		return err
	}
	p.section("Done", "All daemons, routers and namespaces of the demo are gone again. It took %s.", seconds(time.Since(start)))
	return nil
}
