package main

import (
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

// askTimeout is how long a node may take to answer with one object.
const askTimeout = 10 * time.Second

// nodeFlags say which node to ask, and how to show what it answers.
type nodeFlags struct {
	dir, socket, hosts string
	json               bool
}

func (f *nodeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.dir, "dir", "d", defaultDir(), "the node's folder; also $RE6ST_DIR")
	cmd.Flags().StringVar(&f.socket, "socket", "", "the node's socket, in place of the one in its folder")
	cmd.Flags().StringVar(&f.hosts, "hosts", "", "`FILE` with names of nodes (DIR/hosts where it exists)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON (see its version)")
}

func (f *nodeFlags) client() *monitor.Client {
	if f.socket != "" {
		return monitor.NewClient(f.socket)
	}
	return monitor.NewClient(monitor.SocketIn(f.dir))
}
