package reflectorbench

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const wantReport = `
initial convergence: 4 clients x 10 routes, IPv4, median of 3
           target  time s  peak MiB  generator cpu s
          vrouter  0.2000      20.0           1.0000
             bird  4.0000      10.0           1.0000
              frr       -         -                -
            floor  0.1000       5.0           1.0000
   vrouter / bird    0.05         2                -
  vrouter / floor       2         4                -
frr: did not finish: client 1 holds 3 routes
frr: did not finish: client 1 holds 3 routes
frr: did not finish: client 1 holds 3 routes

client death: 4 clients x 10 routes, IPv4, median of 3
   target
  vrouter
     bird
      frr
    floor
`

// someResults are three rounds of four targets, one of which does not finish.
func someResults() (Options, []Result) {
	o := Options{
		Plan: Plan{Clients: 4, Routes: 10}, Rounds: 3, Scenarios: []string{"death"},
		Targets: []Target{{Name: "vrouter"}, {Name: "bird"}, {Name: "frr"}, {Name: "floor"}},
	}
	var results []Result
	for round, factor := range []float64{1, 0.5, 9} {
		for name, base := range map[string][2]float64{"vrouter": {0.2, 20}, "bird": {4, 10}, "floor": {0.1, 5}} {
			results = append(results, Result{Target: name, Scenario: "converge", Round: round, Metrics: []Metric{
				{"time", unitSeconds, base[0] * factor}, {"peak", unitMiB, base[1]}, {metricGenerator, unitSeconds, 1},
			}})
		}
		results = append(results, Result{
			Target: "frr", Scenario: "converge", Round: round, Error: "did not finish: client 1 holds 3 routes\nand its log",
		})
	}
	return o, results
}

func TestWriteText(t *testing.T) {
	o, results := someResults()
	var b bytes.Buffer
	if err := WriteText(&b, o, results); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantReport, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteJSON(t *testing.T) {
	o, results := someResults()
	var b bytes.Buffer
	if err := WriteJSON(&b, o, results); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Clients int
		Medians []Summary
		Results []Result
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Clients != 4 || len(got.Medians) != 8 || len(got.Results) != len(results) {
		t.Errorf("%d clients, %d medians, %d results", got.Clients, len(got.Medians), len(got.Results))
	}
	if r := got.Medians[0].Ratios["bird"]; len(r) != 2 || r[0] != (Ratio{"time", 0.05}) {
		t.Errorf("ratios %v", r)
	}
}
