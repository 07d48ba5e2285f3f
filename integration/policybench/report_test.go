package policybench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// rounds holds what was measured in each round, by what and by whom.
type rounds struct {
	values map[[2]string][]float64
	rows   []string // in the order in which they came first
	cols   []string
}

func (r *rounds) add(row, col string, v float64) {
	if r.values == nil {
		r.values = make(map[[2]string][]float64)
	}
	if !slices.Contains(r.rows, row) {
		r.rows = append(r.rows, row)
	}
	if !slices.Contains(r.cols, col) {
		r.cols = append(r.cols, col)
	}
	r.values[[2]string{row, col}] = append(r.values[[2]string{row, col}], v)
}

// median is the middle of the rounds; false: there were none.
func (r *rounds) median(row, col string) (float64, bool) {
	v := slices.Sorted(slices.Values(r.values[[2]string{row, col}]))
	if len(v) == 0 {
		return 0, false
	}
	return v[len(v)/2], true
}

// log prints the medians as a table.
func (r *rounds) log(t testing.TB, title, format string) {
	t.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, title+"\t"+strings.Join(r.cols, "\t")+"\t")
	for _, row := range r.rows {
		fmt.Fprint(w, row+"\t")
		for _, col := range r.cols {
			if v, ok := r.median(row, col); ok {
				fmt.Fprintf(w, format, v)
			}
			fmt.Fprint(w, "\t")
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	t.Logf("medians\n%s", b.String())
}
