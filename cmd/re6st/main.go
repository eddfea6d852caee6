package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"re6st/cmd/lab"
	"re6st/cmd/sim"
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
	root.AddCommand(registryCommand(), joinCommand(), renewCommand(), nodeCommand(), lab.Command(), lab.BenchCommand(), sim.Command())
	root.AddCommand(
		statusCommand(), peersCommand(), tunnelsCommand(), routesCommand(), claimsCommand(), actorsCommand(), eventsCommand(),
		pingCommand(), traceCommand(), netcheckCommand(), doctorCommand(), bugreportCommand(), reloadCommand(), debugCommand(), limitsCommand(),
		versionCommand(),
	)
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
