package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// Of a log that is shown when something went wrong.
const (
	tailLines = 8
	tailBytes = 64 << 10 // are read from its end
)

// errorLine finds what is worth showing first.
var errorLine = regexp.MustCompile(`(?i)\b(error|fail|failed|panic|fatal|cannot|refused|denied)\b`)

// tail returns the last lines of a log, indented: those that speak of an error, or,
// where none does, simply the last.
func tail(path string, lines int) string {
	text, err := readEnd(path, tailBytes)
	if err != nil {
		return fmt.Sprintf("\t(no log: %v)\n", err)
	}
	var all, errors []string
	for line := range strings.Lines(text) {
		line = "\t" + strings.TrimRight(line, "\n") + "\n"
		all = append(all, line)
		if errorLine.MatchString(line) {
			errors = append(errors, line)
		}
	}
	if len(errors) > 0 {
		all = errors
	}
	if len(all) == 0 {
		return "\t(nothing)\n"
	}
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// readEnd reads up to size bytes from the end of a file, from a line's start on.
func readEnd(path string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	start := max(0, st.Size()-size)
	b, err := io.ReadAll(io.NewSectionReader(f, start, size))
	if err != nil {
		return "", err
	}
	if start > 0 {
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	return string(b), nil
}
