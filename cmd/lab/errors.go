package lab

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart; each comes wrapped with what was being done.
var (
	// ErrNoLab: no lab runs that could be meant. Start one with `re6st lab up`.
	ErrNoLab = errors.New("lab: no lab is running")
	// ErrManyLabs: more than one lab runs. Say which with --lab ID.
	ErrManyLabs = errors.New("lab: more than one lab is running")
	// ErrNode: there is no such node in the lab.
	ErrNode = errors.New("lab: no such node")
	// ErrState: the node is not in the state that the command needs.
	ErrState = errors.New("lab: not possible now")
	// ErrTimeout: the network did not become whole in time.
	ErrTimeout = errors.New("lab: timed out")
)

// Exit codes of the house that the lab uses by itself; otherwise it exits with CMD's.
const (
	exitFailed = 1
	exitUsage  = 2
)

// ExitError carries the status with which the process is to exit. Err is nil where
// there is nothing more to say, as when CMD failed.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives the cause, for errors.Is.
func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode returns the status, for main.
func (e *ExitError) ExitCode() int { return e.Code }

// Silent reports that there is nothing to print.
func (e *ExitError) Silent() bool { return e.Err == nil }
