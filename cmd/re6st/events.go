package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

// errEnough ends a stream of which enough has been seen.
var errEnough = errors.New("enough")

func eventsCommand() *cobra.Command {
	var f nodeFlags
	var watch bool
	var count int
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List what happened to the node's actors",
		Long: `List what happened lately to the node's actors: what started, failed, was restarted or put
in quarantine, and what they had to say themselves. With --json each line is one object.`,
		Example: "  re6st events\n  re6st events --watch\n  re6st events --watch --json --count 10",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if count < 0 {
				return usageError{fmt.Errorf("--count %d; it is at least 0", count)}
			}
			call := "events"
			if watch {
				call = "events?follow=1"
			}
			l, err := f.labels(cmd.Context())
			if err != nil {
				return err
			}
			seen := 0
			err = monitor.Lines(cmd.Context(), f.client(), http.MethodGet, call, nil, func(e monitor.Event) error {
				if err := printEvent(cmd, e, l, f.json); err != nil {
					return err
				}
				if seen++; seen == count {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) || watch && cmd.Context().Err() != nil {
				return nil
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on with what happens, until ^C")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "end after so many; 0: all")
	return cmd
}

func printEvent(cmd *cobra.Command, e monitor.Event, l *labels, asJSON bool) error {
	w := cmd.OutOrStdout()
	if asJSON {
		return json.NewEncoder(w).Encode(e)
	}
	if e.Missed > 0 {
		if _, err := fmt.Fprintf(w, "... %d missed\n", e.Missed); err != nil {
			return err
		}
	}
	line := fmt.Sprintf("%s  %s %s", e.Time.UTC().Format(time.RFC3339), e.Actor, e.Kind)
	if e.Text != "" {
		line += ": " + e.Text
	}
	_, err := fmt.Fprintln(w, l.in(line))
	return err
}
