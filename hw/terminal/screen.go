package terminal

import (
	"bytes"
	"fmt"
	"os"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Control sequences (ECMA-48; DECTCEM for the cursor).
const (
	home       = "\x1b[H"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
)

// Screen draws frames on a file: a terminal, or anything else.
type Screen struct {
	file  *os.File
	begun bool
	frame []byte // the last one
}

// NewScreen draws on a file. Close the Screen, not the file, when it is done.
func NewScreen(f *os.File) *Screen { return &Screen{file: f} }

// size of the window; false where the file is no terminal.
func (s *Screen) size() (columns, rows int, ok bool) {
	w, err := unix.IoctlGetWinsize(int(s.file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return int(w.Col), int(w.Row), true
}

// Draw shows a frame, whose lines end in newlines, in place of the one before.
func (s *Screen) Draw(frame []byte) error {
	s.frame = bytes.Clone(frame)
	columns, rows, terminal := s.size()
	var out []byte
	switch {
	case terminal:
		out = draw(frame, columns, rows)
	case s.begun:
		out = append([]byte("\n"), frame...)
	default:
		out = frame
	}
	s.begun = true
	_, err := s.file.Write(out)
	return err
}

// Note shows a line above the last frame, until the next one. Where the file is no
// terminal it goes to standard error.
func (s *Screen) Note(line string) error {
	columns, rows, terminal := s.size()
	if !terminal {
		_, err := fmt.Fprintln(os.Stderr, line)
		return err
	}
	_, err := s.file.Write(draw(append([]byte(line+"\n\n"), s.frame...), columns, rows))
	return err
}

// Close gives the cursor back; the last frame stays.
func (s *Screen) Close() {
	if _, _, terminal := s.size(); terminal && s.begun {
		_, _ = s.file.WriteString(showCursor) // a terminal that is gone needs none
	}
}

// draw is the bytes that show a frame in a window. The last row stays free, for
// the cursor; a window of no size has no bounds.
func draw(frame []byte, columns, rows int) []byte {
	out := []byte(hideCursor + home)
	lines := bytes.SplitAfter(frame, []byte("\n"))
	if n := len(lines); n > 0 && len(lines[n-1]) == 0 {
		lines = lines[:n-1]
	}
	if more := len(lines) - (rows - 1); rows > 1 && more > 0 {
		lines = append(lines[:rows-2:rows-2], fmt.Appendf(nil, "... %d more\n", more+1))
	}
	for _, line := range lines {
		out = append(out, cut(bytes.TrimSuffix(line, []byte("\n")), columns)...)
		out = append(out, clearLine+"\r\n"...)
	}
	return append(out, clearBelow...)
}

// cut is as much of a line as fits: the last column stays free, where terminals differ
// on what clears it.
func cut(line []byte, columns int) []byte {
	if columns <= 0 {
		return line
	}
	end := 0
	for n := 1; n < columns && end < len(line); n++ {
		_, size := utf8.DecodeRune(line[end:])
		end += size
	}
	return line[:end]
}
