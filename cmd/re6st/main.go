package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"re6st/cmd/lab"
)

// Exit codes of the house.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	ran := false
	noteRuns(root, &ran)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if !ran { // flags, arguments, no such command
		err = usageError{err}
	}
	return report(cmd, err)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "re6st",
		Short:         "A resilient IPv6 mesh",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(registryCommand(), joinCommand(), nodeCommand(), lab.Command())
	return root
}

// noteRuns sets ran once a command's own code runs: what fails before is cobra's
// complaint about the command line.
func noteRuns(cmd *cobra.Command, ran *bool) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return inner(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		noteRuns(c, ran)
	}
}

// report says what went wrong and returns the exit code: that of an error with an
// ExitCode method, else exitFailed.
func report(cmd *cobra.Command, err error) int {
	var quiet interface{ Silent() bool }
	if !errors.As(err, &quiet) || !quiet.Silent() {
		fmt.Fprintln(os.Stderr, "re6st:", err)
	}
	var coded interface{ ExitCode() int }
	if !errors.As(err, &coded) {
		return exitFailed
	}
	if coded.ExitCode() == exitUsage {
		fmt.Fprintf(os.Stderr, "see %s --help\n", cmd.CommandPath())
	}
	return coded.ExitCode()
}

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }
func (e usageError) ExitCode() int { return exitUsage }
