package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// column of a table.
type column struct {
	name string
	// flex columns are cut, on a terminal that is too narrow.
	flex bool
}

// cell of a table.
type cell struct {
	text string
	tone tone
}

// table prints aligned columns with a header in capitals. Rows may be added
// after a flush, which then keeps the widths of before as its least.
type table struct {
	columns []column
	rows    [][]cell
	widths  []int
	headed  bool

	// limit is the width of the terminal; zero: nothing is cut.
	limit  int
	colour bool
}

// flexible before the name of a column makes it a flex column.
const flexible = "~"

// newTable returns a table for Out. With wide nothing is cut.
func (a *app) newTable(wide bool, names ...string) *table {
	t := &table{limit: a.OutWidth, colour: a.OutWidth > 0 && a.colour()}
	if wide {
		t.limit = 0
	}
	for _, name := range names {
		name, flex := strings.CutPrefix(name, flexible)
		t.columns = append(t.columns, column{name: name, flex: flex})
	}
	return t
}

// add appends a row of texts; missing cells are empty.
func (t *table) add(texts ...string) {
	t.addCells(textCells(texts)...)
}

func textCells(texts []string) []cell {
	cells := make([]cell, len(texts))
	for i, text := range texts {
		cells[i].text = text
	}
	return cells
}

// addCells appends a row of cells with a tone.
func (t *table) addCells(cells ...cell) {
	for i := range cells {
		cells[i].text = printable(cells[i].text)
	}
	t.rows = append(t.rows, cells)
}

// flush prints the rows since the last flush, the first time with the header.
func (t *table) flush(w io.Writer) error {
	rows := t.rows
	if !t.headed {
		head := make([]cell, len(t.columns))
		for i, c := range t.columns {
			head[i] = cell{strings.ToUpper(c.name), heading}
		}
		rows = slices.Insert(rows, 0, head)
		t.headed = true
	}
	t.rows = nil
	t.measure(rows)
	var b strings.Builder
	for _, row := range rows {
		t.line(&b, row)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// gap between columns, as in kubectl.
const gap = 3

// measure widens the columns to hold rows, then narrows flex columns, the last
// first, until a line fits.
func (t *table) measure(rows [][]cell) {
	if t.widths == nil {
		t.widths = make([]int, len(t.columns))
	}
	total := gap * (len(t.columns) - 1)
	for i := range t.columns {
		for _, row := range rows {
			if i < len(row) {
				t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i].text))
			}
		}
		total += t.widths[i]
	}
	const least = 12 // narrower says nothing
	for i := len(t.columns) - 1; i >= 0 && t.limit > 0 && total > t.limit; i-- {
		if cut := min(total-t.limit, t.widths[i]-least); t.columns[i].flex && cut > 0 {
			t.widths[i] -= cut
			total -= cut
		}
	}
}

// line renders one row without trailing blanks.
func (t *table) line(b *strings.Builder, row []cell) {
	pad := 0
	for i, c := range row {
		text := c.text
		if t.columns[i].flex {
			text = shorten(text, t.widths[i])
		}
		if text != "" {
			b.WriteString(strings.Repeat(" ", pad))
			pad = 0
			if t.colour {
				b.WriteString(paint(text, c.tone))
			} else {
				b.WriteString(text)
			}
		}
		pad += t.widths[i] - utf8.RuneCountInString(text) + gap
	}
	b.WriteByte('\n')
}

// shorten cuts text to width characters, the last one then being an ellipsis.
func shorten(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
