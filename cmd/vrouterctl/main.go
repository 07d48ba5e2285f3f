// Vrouterctl is the operator's command line of vrouter.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/projectvrouter/vrouter/internal/cli"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Run(ctx, cli.System(), os.Args[1:])
}
