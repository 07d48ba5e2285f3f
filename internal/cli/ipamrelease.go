package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) ipamReleaseCommand() *cobra.Command {
	var ips, reports []string
	var handle string
	c := &cobra.Command{
		Use:   "release {--ip ADDRESS... | --handle HANDLE | --from-report FILE...}",
		Short: "Release addresses that nobody needs",
		Long: `Release addresses that nobody needs. What an endpoint has is refused: unregister
the endpoint. A report is released with its sequence numbers: what was released
or given out again since, and what an endpoint has by now, is passed over, which
is no failure. Each of several addresses is released by itself.`,
		Example: `  vrouterctl ipam release --ip 10.65.0.9,10.65.0.10
  vrouterctl ipam check --report leaks.json
  vrouterctl ipam release --from-report leaks.json`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			given := 0
			for _, name := range []string{"ip", "handle", "from-report"} {
				if cmd.Flags().Changed(name) {
					given++
				}
			}
			if given != 1 || len(ips)+len(reports)+len(handle) == 0 {
				return usagef("one of --ip, --handle and --from-report is needed")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			switch {
			case cmd.Flags().Changed("handle"):
				got, err := c.addresses.ReleaseByHandle(cmd.Context(), &vrouterv1.ReleaseByHandleRequest{Handle: handle})
				if err == nil {
					a.line("%s of handle %s released", plural(len(got.GetAddresses()), "address", "addresses"), handle)
				}
				return err
			case len(reports) > 0:
				return a.releaseReports(cmd.Context(), c, reports)
			}
			var all []*vrouterv1.AddressRelease
			for _, ip := range ips {
				all = append(all, &vrouterv1.AddressRelease{Address: ip})
			}
			return a.releaseEach(cmd.Context(), c, all, false)
		},
	}
	c.Flags().StringSliceVar(&ips, "ip", nil, "`address` to release; may be repeated")
	c.Flags().StringVar(&handle, "handle", "", "`handle` whose addresses are all to be released")
	c.Flags().StringSliceVar(&reports, "from-report", nil, "`file` that 'ipam check --report' wrote, or - for standard input; may be repeated")
	_ = c.MarkFlagFilename("from-report", "json") // only completion; the flag exists
	_ = c.RegisterFlagCompletionFunc("ip", cobra.NoFileCompletions)
	_ = c.RegisterFlagCompletionFunc("handle", a.completeHandles)
	return c
}

// completeHandles completes a handle that holds addresses.
func (a *app) completeHandles(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd.Context(), resource.KindIPAMHandle, ""), cobra.ShellCompDirectiveNoFileComp
}

// releaseReports releases the leaks of reports. All of them are read first: one
// that cannot be read releases nothing.
func (a *app) releaseReports(ctx context.Context, c *client, paths []string) error {
	var all []*vrouterv1.AddressRelease
	for _, path := range paths {
		report, err := a.readReport(path)
		if err != nil {
			return fmt.Errorf("read report %s: %w", path, err)
		}
		for _, leak := range report.GetLeaks() {
			all = append(all, leak.GetRelease())
		}
	}
	return a.releaseEach(ctx, c, all, true)
}

func (a *app) readReport(path string) (*vrouterv1.CheckResponse, error) {
	in := a.In
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("not JSON")
	}
	m := &vrouterv1.CheckResponse{}
	return m, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
}

// releaseEach releases each address by itself: one that is needed keeps no other.
// Where they are of a report, that is no failure.
func (a *app) releaseEach(ctx context.Context, c *client, all []*vrouterv1.AddressRelease, reported bool) error {
	var t tally
	for _, r := range all {
		got, err := c.addresses.Release(ctx, &vrouterv1.ReleaseRequest{Addresses: []*vrouterv1.AddressRelease{r}})
		switch {
		case err == nil && len(got.GetUnallocated()) > 0:
			a.line("%s is held by nobody", r.GetAddress())
		case err == nil:
			a.line("%s released", r.GetAddress())
		case reported && neededAgain(err):
			a.line("%s passed over: %s", r.GetAddress(), sentences(err)[0])
		default:
			a.printError("", r.GetAddress(), err)
			if !t.fail(err) {
				return t.err()
			}
		}
	}
	return t.err()
}

// neededAgain tells whether an address is not released because somebody has it
// by now.
func neededAgain(err error) bool {
	if info := reason(err); info.GetReason() == "STALE" {
		return true
	}
	for _, detail := range status.Convert(err).Details() {
		if failure, ok := detail.(*errdetails.PreconditionFailure); ok && slices.ContainsFunc(failure.GetViolations(),
			func(v *errdetails.PreconditionFailure_Violation) bool { return v.GetType() == "IN_USE" }) {
			return true
		}
	}
	return false
}
