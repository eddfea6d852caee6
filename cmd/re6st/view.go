package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

// view is a command that asks for one object and shows it, once or again and again.
type view[T any] struct {
	name, short, long string
	// rows of a table; watched tells that more will follow.
	rows func(answer T, watched bool) [][]any
	// since adds to an answer what changed since the one before; nil: nothing.
	since func(before, answer *T, d time.Duration)
	after func(answer T) error // nil: nothing; its error ends the command
	// more gives the command flags of its own, and may change what it runs; nil: none.
	more func(cmd *cobra.Command, f *nodeFlags)
}

func (v view[T]) command() *cobra.Command {
	var f nodeFlags
	var every time.Duration
	cmd := &cobra.Command{
		Use:     v.name,
		Short:   v.short,
		Long:    v.long,
		Example: fmt.Sprintf("  re6st %s\n  re6st %[1]s --watch=5s\n  re6st %[1]s -d /var/lib/re6st --json", v.name),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("watch") {
				return v.watch(cmd, f, every)
			}
			return v.once(cmd, f)
		},
	}
	f.add(cmd)
	watchFlag(cmd, &every)
	if v.more != nil {
		v.more(cmd, &f)
	}
	return cmd
}

func (v view[T]) once(cmd *cobra.Command, f nodeFlags) error {
	answer, err := v.ask(cmd.Context(), f.client())
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), answer)
	} else {
		err = v.show(cmd.Context(), f, cmd.OutOrStdout(), answer, false)
	}
	if err == nil && v.after != nil {
		err = v.after(answer)
	}
	return err
}

func (v view[T]) ask(ctx context.Context, c *monitor.Client) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err = c.Get(ctx, v.name, &answer)
	return answer, err
}

func (v view[T]) show(ctx context.Context, f nodeFlags, w io.Writer, answer T, watched bool) error {
	l, err := f.labels(ctx)
	if err != nil {
		return err
	}
	return table(w, l.rows(v.rows(answer, watched))...)
}

// watch shows the object until ^C. Once it was there, a node that ends is waited for.
func (v view[T]) watch(cmd *cobra.Command, f nodeFlags, every time.Duration) error {
	before, err := v.ask(cmd.Context(), f.client())
	switch {
	case cmd.Context().Err() != nil:
		return nil // ^C
	case err != nil:
		return err
	}
	at := time.Now()
	return repeat(cmd, every, f.json, func(first bool) (frame []byte, line any, err error) {
		answer := before
		if !first {
			if answer, err = v.ask(cmd.Context(), f.client()); err != nil {
				return nil, nil, err
			}
			now := time.Now()
			if v.since != nil {
				v.since(&before, &answer, now.Sub(at))
			}
			before, at = answer, now
		}
		if f.json {
			return nil, answer, nil
		}
		var b bytes.Buffer
		err = v.show(cmd.Context(), f, &b, answer, true)
		return b.Bytes(), nil, err
	})
}
