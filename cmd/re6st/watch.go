package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/hw/terminal"
)

// How often --watch asks.
const (
	watchEvery    = time.Second
	minWatchEvery = 100 * time.Millisecond
)

func watchFlag(cmd *cobra.Command, every *time.Duration) {
	cmd.Flags().DurationVarP(every, "watch", "w", 0, "show it again every `INTERVAL`, until ^C; --watch=5s")
	cmd.Flags().Lookup("watch").NoOptDefVal = watchEvery.String()
}

// repeat shows what ask returns until ^C: frames on a terminal in the same place,
// elsewhere one after the other; lines as JSON. An error of the first time ends it;
// later a node that does not run is waited for.
func repeat(cmd *cobra.Command, every time.Duration, asJSON bool, ask func(first bool) (frame []byte, line any, err error)) error {
	if every < minWatchEvery {
		return usageError{fmt.Errorf("--watch=%v; it is at least %v", every, minWatchEvery)}
	}
	screen := terminal.NewScreen(os.Stdout)
	defer screen.Close()
	lines := json.NewEncoder(os.Stdout)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for first := true; ; first = false {
		frame, line, err := ask(first)
		switch {
		case cmd.Context().Err() != nil:
			return nil
		case !first && (errors.Is(err, monitor.ErrNotRunning) || errors.Is(err, monitor.ErrCut)):
			err = screen.Note(err.Error() + "; waiting for it")
		case err == nil && asJSON:
			err = lines.Encode(line)
		case err == nil:
			err = screen.Draw(frame)
		}
		if err != nil {
			return err
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-ticker.C:
		}
	}
}
