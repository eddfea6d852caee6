package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

// The exit codes of every command.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2 // a mistake on the command line
	exitNotRunning = 3 // no node answers
	exitDegraded   = 4 // it does what it can, and something wants a person
	exitDenied     = 5 // not allowed to this user
)

// exitCode is that of an error: what its ExitCode method says, else what it wraps.
func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.Is(err, monitor.ErrNotRunning):
		return exitNotRunning
	case errors.Is(err, monitor.ErrDenied), errors.Is(err, fs.ErrPermission):
		return exitDenied
	case errors.Is(err, monitor.ErrRequest):
		return exitUsage
	}
	return exitFailed
}

// report says what went wrong, unless the error is silent, and returns the exit code.
func report(cmd *cobra.Command, err error) int {
	var quiet interface{ Silent() bool }
	if !errors.As(err, &quiet) || !quiet.Silent() {
		fmt.Fprintln(os.Stderr, "re6st:", err)
	}
	code := exitCode(err)
	if code == exitUsage {
		fmt.Fprintf(os.Stderr, "see %s --help\n", cmd.CommandPath())
	}
	return code
}

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }
func (e usageError) ExitCode() int { return exitUsage }

// silentExit ends with a code after the output has said all.
type silentExit int

func (e silentExit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
func (e silentExit) ExitCode() int { return int(e) }
func (e silentExit) Silent() bool  { return true }
