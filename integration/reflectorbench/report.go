package reflectorbench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Summary is a scenario's median of each metric for a target, and its ratios
// to other targets.
type Summary struct {
	Target   string             `json:"target"`
	Scenario string             `json:"scenario"`
	Metrics  []Metric           `json:"metrics,omitempty"` // medians over the rounds that gave some
	Ratios   map[string][]Ratio `json:"ratios,omitempty"`  // by the target it is divided by
	Errors   []string           `json:"errors,omitempty"`  // of the other rounds
}

// Ratio is a median divided by that of another target.
type Ratio struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Summarize takes the medians of results, in the order of scenarios and of
// targets.
func Summarize(o Options, results []Result) []Summary {
	var list []Summary
	for _, sc := range o.chosen() {
		first := len(list)
		for _, t := range o.Targets {
			list = append(list, median(t.Name, sc.name, results))
		}
		addRatios(list[first:])
	}
	return list
}

// median of the results of a target in a scenario.
func median(target, scenario string, results []Result) Summary {
	s := Summary{Target: target, Scenario: scenario}
	values := make(map[string][]float64)
	for _, r := range results {
		if r.Target != target || r.Scenario != scenario {
			continue
		}
		if r.Error != "" {
			s.Errors = append(s.Errors, r.Error)
		}
		for _, m := range r.Metrics {
			if values[m.Name] == nil {
				s.Metrics = append(s.Metrics, m)
			}
			values[m.Name] = append(values[m.Name], m.Value)
		}
	}
	for i, m := range s.Metrics {
		v := values[m.Name]
		slices.Sort(v)
		s.Metrics[i].Value = (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	}
	return s
}

// addRatios divides what is measured by what it is compared with; where only
// those are there, by each other.
func addRatios(list []Summary) {
	bases := []string{nameBIRD, nameFRR, nameFloor}
	isBase := func(s Summary) bool { return slices.Contains(bases, s.Target) }
	onlyBases := !slices.ContainsFunc(list, func(s Summary) bool { return !isBase(s) })
	for i := range list {
		if isBase(list[i]) && !onlyBases {
			continue
		}
		for _, base := range list {
			if base.Target == list[i].Target || !isBase(base) {
				continue
			}
			if r := ratios(list[i].Metrics, base.Metrics); len(r) > 0 {
				if list[i].Ratios == nil {
					list[i].Ratios = make(map[string][]Ratio)
				}
				list[i].Ratios[base.Target] = r
			}
		}
	}
}

func ratios(of, to []Metric) []Ratio {
	aside := []string{metricEchoes, metricArrived, metricBehind, metricWithheld, metricGenerator, metricSessions, metricToCalm}
	var list []Ratio
	for _, m := range of {
		at := slices.IndexFunc(to, func(b Metric) bool { return b.Name == m.Name })
		if at >= 0 && to[at].Value > 0 && !slices.Contains(aside, m.Name) {
			list = append(list, Ratio{m.Name, m.Value / to[at].Value})
		}
	}
	return list
}

// WriteJSON writes the medians and all results.
func WriteJSON(w io.Writer, o Options, results []Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Clients int       `json:"clients"`
		Routes  int       `json:"routes"`
		IPv6    bool      `json:"ipv6"`
		Rounds  int       `json:"rounds"`
		Rate    int       `json:"rate"`
		Seconds float64   `json:"seconds"`
		Medians []Summary `json:"medians"`
		Results []Result  `json:"results"`
	}{o.Clients, o.Routes, o.IPv6, o.Rounds, o.Rate, o.Duration.Seconds(), Summarize(o, results), results})
}

// WriteText writes a table of medians and ratios for each scenario, and what
// went wrong.
func WriteText(w io.Writer, o Options, results []Result) error {
	family := map[bool]string{false: "IPv4", true: "IPv6"}[o.IPv6]
	all := Summarize(o, results)
	for _, sc := range o.chosen() {
		var list []Summary
		for _, s := range all {
			if s.Scenario == sc.name {
				list = append(list, s)
			}
		}
		fmt.Fprintf(w, "\n%s: %d clients x %d routes, %s, median of %d\n",
			sc.title, o.Clients, o.Routes, family, o.Rounds)
		if err := writeTable(w, list); err != nil {
			return err
		}
		for _, s := range list {
			for _, text := range s.Errors {
				fmt.Fprintf(w, "%s: %s\n", s.Target, firstLine(text))
			}
		}
	}
	return nil
}

func writeTable(w io.Writer, list []Summary) error {
	columns := columnsOf(list)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "target\t")
	for _, m := range columns {
		fmt.Fprintf(tw, "%s\t", strings.TrimSpace(m.Name+" "+m.Unit))
	}
	fmt.Fprintln(tw)
	for _, s := range list {
		fmt.Fprintf(tw, "%s\t", s.Target)
		for _, column := range columns {
			fmt.Fprintf(tw, "%s\t", cell(s.Metrics, column.Name))
		}
		fmt.Fprintln(tw)
	}
	for _, s := range list {
		for _, base := range []string{nameBIRD, nameFRR, nameFloor} {
			if s.Ratios[base] == nil {
				continue
			}
			fmt.Fprintf(tw, "%s / %s\t", s.Target, base)
			for _, column := range columns {
				fmt.Fprintf(tw, "%s\t", ratioCell(s.Ratios[base], column.Name))
			}
			fmt.Fprintln(tw)
		}
	}
	return tw.Flush()
}

// columnsOf are the metrics that any of them has.
func columnsOf(list []Summary) []Metric {
	var columns []Metric
	for _, s := range list {
		for _, m := range s.Metrics {
			if !slices.ContainsFunc(columns, func(c Metric) bool { return c.Name == m.Name }) {
				columns = append(columns, m)
			}
		}
	}
	return columns
}

func cell(metrics []Metric, name string) string {
	for _, m := range metrics {
		if m.Name != name {
			continue
		}
		switch m.Unit {
		case unitSeconds:
			return fmt.Sprintf("%.4f", m.Value)
		case unitMillis, unitTimes:
			return fmt.Sprintf("%.3f", m.Value)
		case unitMiB, unitPercent:
			return fmt.Sprintf("%.1f", m.Value)
		}
		return fmt.Sprintf("%.0f", m.Value)
	}
	return "-"
}

func ratioCell(list []Ratio, name string) string {
	for _, r := range list {
		if r.Name == name {
			return fmt.Sprintf("%.3g", r.Value)
		}
	}
	return "-"
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
