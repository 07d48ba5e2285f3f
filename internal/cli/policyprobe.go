package cli

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/projectvrouter/vrouter/policy/explain"
)

func (a *app) policyCommand() *cobra.Command {
	return group("policy", "Try policy out, and see what it does", a.policyTestCommand(), a.policyCountersCommand())
}

func (a *app) policyTestCommand() *cobra.Command {
	var files []string
	var probes, output string
	c := &cobra.Command{
		Use:   "test -f DIR --probes FILE|-",
		Short: "Check the policies of manifests with probes that say what to expect",
		Long: `Check the policies of manifests with probes that say what to expect. No
vrouterd is asked: it is a check for a change of policy before it is applied.

A probe is a JSON object on a line of its own:

  {"from": "shop/web", "to": "shop/db", "protocol": "TCP", "port": 5432, "expect": "allow"}

from and to are as in explain; sourcePort, preDNATPort, icmpType, icmpCode,
ipVersion and interface may be given; expect is allow or deny.

It exits with 0 if every probe ends as expected, with 1 if one does not, and
with 2 if a line or a manifest cannot be read.`,
		Example: `  vrouterctl policy test -f policies/ --probes probes.jsonl`,
		Args:    arguments(0),
		RunE: func(*cobra.Command, []string) error {
			f, err := parseFormat(output, "line", formatJSON)
			switch {
			case err != nil:
				return err
			case len(files) == 0:
				return usagef("-f is needed: the manifests to test")
			case probes == "":
				return usagef("--probes is needed: a file of probes, or - for standard input")
			}
			return undecided(a.policyTest(f, files, probes))
		},
	}
	bindFiles(c, &files)
	c.Flags().StringVar(&probes, "probes", "", "`file` with a probe on each line, or - for standard input")
	bindOutput(c, &output, "line", formatJSON)
	return c
}

// probeResult is what became of a probe, as -o json tells it.
type probeResult struct {
	Line      int             `json:"line"`
	Probe     explain.Probe   `json:"probe"`
	OK        bool            `json:"ok"`
	Explained json.RawMessage `json:"explained,omitempty"`
	Problem   string          `json:"problem,omitempty"`
}

// policyTest reads all probes before it judges the first, so that a bad line
// leaves no half of an answer.
func (a *app) policyTest(f format, files []string, probes string) error {
	in := a.In
	if probes != "-" {
		file, err := os.Open(probes)
		if err != nil {
			return fmt.Errorf("--probes: %w", err)
		}
		defer file.Close()
		in = file
	}
	var list []probeResult
	if err := explain.ReadProbes(in, func(line int, p explain.Probe) {
		list = append(list, probeResult{Line: line, Probe: p})
	}); err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("--probes %s: no probe in it", probes)
	}
	cluster, err := a.cluster(files)
	if err != nil {
		return err
	}
	differ := 0
	for _, r := range list {
		if err := a.tryProbe(cluster, f, &r); err != nil {
			return err
		}
		if !r.OK {
			differ++
		}
	}
	if f != formatJSON {
		a.line("%d of %d probes as expected", len(list)-differ, len(list))
	}
	if differ > 0 {
		return &reportedError{ExitFailed}
	}
	return nil
}

// tryProbe judges one probe and prints what became of it: in lines only when it
// differs.
func (a *app) tryProbe(cluster *explain.Cluster, f format, r *probeResult) error {
	var reason string
	verdict := "unknown"
	answer, err := cluster.Explain(r.Probe)
	if err != nil {
		r.Problem, reason = err.Error(), err.Error()
	} else {
		verdict, reason = answer.GetVerdict(), answer.GetReason()
	}
	want := map[string]string{"allow": "allowed", "deny": "denied"}[r.Probe.Expect]
	r.OK = verdict == want
	if f != formatJSON {
		if !r.OK {
			a.line("line %d: %s -> %s: expected to be %s, is %s", r.Line, r.Probe.From, r.Probe.To, want, orReason(verdict, reason))
		}
		return nil
	}
	if answer != nil {
		if r.Explained, err = messageJSON(answer); err != nil {
			return err
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("render line %d: %w", r.Line, err)
	}
	return a.write(append(data, '\n'))
}
