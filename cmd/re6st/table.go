package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// quantity is a cell that is aligned at the right, as numbers are.
type quantity string

// table writes rows of cells in columns, without blanks at the ends of lines. A
// column whose cells, but for the first row's, are numbers is aligned at the right.
func table(w io.Writer, rows ...[]any) error {
	var widths []int
	var numbers []bool
	text := make([][]string, len(rows))
	for i, row := range rows {
		for j, cell := range row {
			if j == len(widths) {
				widths, numbers = append(widths, 0), append(numbers, true)
			}
			s := fmt.Sprint(cell)
			text[i] = append(text[i], s)
			widths[j] = max(widths[j], utf8.RuneCountInString(s))
			numbers[j] = numbers[j] && (i == 0 && len(rows) > 1 || isNumber(cell))
		}
	}
	var b strings.Builder
	for _, row := range text {
		line := ""
		for j, s := range row {
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(s))
			if numbers[j] {
				line += pad + s + "  "
			} else {
				line += s + pad + "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func isNumber(cell any) bool {
	if _, ok := cell.(quantity); ok {
		return true
	}
	v := reflect.ValueOf(cell)
	return v.CanInt() || v.CanUint()
}

// age is how long ago t was, in its two largest units; "-" where t is zero.
func age(now, t time.Time) quantity {
	if t.IsZero() {
		return "-"
	}
	return quantity(span(now.Sub(t)))
}

func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// milliseconds is a time in microseconds, for people; "-" where it is not known.
func milliseconds(us int64) quantity {
	if us <= 0 {
		return "-"
	}
	ms := float64(us) / 1000
	digits := 2
	switch {
	case ms >= 100:
		digits = 0
	case ms >= 10:
		digits = 1
	}
	return quantity(fmt.Sprintf("%.*f ms", digits, ms))
}

// size is a number of bytes, for people.
func size(n uint64) quantity {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, i := float64(n), 0
	for ; v >= 999.5 && i < len(units)-1; i++ {
		v /= 1000
	}
	return quantity(fmt.Sprintf("%.3g %s", v, units[i]))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
