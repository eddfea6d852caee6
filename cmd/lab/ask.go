package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"re6st/hw/netns"
)

// askCommands are those that act on a running lab.
func askCommands(folder *string) []*cobra.Command {
	short := map[string]string{
		verbCut:     "Let no packet of an edge through, or of the middle one on a path; reject answers \"unreachable\"",
		verbHeal:    "Let the packets of an edge through again, all of them",
		verbLink:    "Have two nodes reach each other that are no neighbors in the underlay",
		verbBlock:   "Have a firewall between two nodes drop our datagrams in UDP, by content, or quic, udp, tls (TCP 443), all",
		verbUnblock: "Have it drop that no more; all is everything",
		verbLoss:    "Drop that share of an edge's packets, both ways",
		verbRate:    "Limit what a node sends and gets; 0 is no limit",
		verbDelay:   "Delay each packet of an edge, in either direction; 0s is no delay",
		verbKill:    "Kill a node, all, the registry, or the relay between two nodes (SIGKILL)",
		verbStart:   "Start a node, all, or the registry, that was killed",
		verbRestart: "Ask a node, all, or the registry, to end, and start it again",
		verbForget:  "Take from a node, or all, that were killed, the peers that they remember",
		verbUplink:  "Cut an uplink of a node, with or without its carrier, or heal it (lab up --uplinks)",
		verbDisk:    "Fill the disk of a node's folder, make it read-only, or well again (lab up --disks)",
		verbClock:   "Have the clock of a node, or all, jump",
		verbAddr:    "Give a node other underlay addresses, or its NAT if it is behind one; the old ones are gone",
		wordDown:    "Take a lab down",
	}
	example := map[string]string{
		verbCut: "cut n1 n2\ncut path n1 n4 reject", verbHeal: "heal n1 n2\nheal all", verbLink: "link n1 n4", verbBlock: "block n1 n2 ours\nblock n1 n2 tls", verbUnblock: "unblock n1 n2 ours\nunblock n1 n2 all", verbLoss: "loss n1 n2 2.5%", verbRate: "rate n1 10",
		verbDelay: "delay n1 n2 20ms", verbKill: "kill n3\nkill registry\nkill relay n1 n4", verbStart: "start n3\nstart all",
		verbRestart: "restart n3\nrestart all", verbForget: "forget n3\nforget all", verbAddr: "addr n3", verbUplink: "uplink n1 1 silent\nuplink n1 1 up",
		verbDisk: "disk n1 full\ndisk n1 ok", verbClock: "clock n1 +1h\nclock all -- -1y", wordDown: "down\ndown --lab 4f2a1c",
	}
	var commands []*cobra.Command
	for _, verb := range []string{
		verbCut, verbHeal, verbLink, verbBlock, verbUnblock, verbLoss, verbRate, verbDelay, verbKill, verbStart, verbRestart, verbForget, verbAddr, verbUplink, verbDisk, verbClock, wordDown,
	} {
		use := usages[verb]
		if verb == wordDown {
			use = wordDown
		}
		cmd := &cobra.Command{Use: use, Short: short[verb], Example: "  re6st lab " + strings.ReplaceAll(example[verb], "\n", "\n  re6st lab ")}
		id := cmd.Flags().String("lab", "", labFlag)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			words := append([]string{verb}, args...)
			if verb != wordDown {
				if _, err := parseAction(words); err != nil {
					return &ExitError{exitUsage, fmt.Errorf("lab: %w", err)}
				}
			}
			return askLab(cmd, *folder, *id, words)
		}
		commands = append(commands, cmd)
	}
	return commands
}

const labFlag = "id of the lab; default: that of RE6ST_LAB, or the only one that runs"

// statusNotRunning is the house's exit code where nothing runs that could be asked.
const statusNotRunning = 3

func askLab(cmd *cobra.Command, folder, id string, words []string) error {
	ctx, stop := signals(cmd.Context())
	defer stop()
	dir, err := find(folder, id)
	if err == nil {
		var output string
		output, err = ask(ctx, dir, words)
		fmt.Fprint(cmd.OutOrStdout(), output)
	}
	if errors.Is(err, ErrNoLab) {
		return &ExitError{statusNotRunning, err}
	}
	return err
}

func listCommand(folder *string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "Show the labs that run and their nodes", Example: "  re6st lab list", Args: usage(cobra.NoArgs),
	}
	id := cmd.Flags().String("lab", "", "id of one lab; default: all that run")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ids := []string{*id}
		if *id == "" {
			running, err := runningLabs(*folder)
			if err != nil {
				return err
			}
			if ids = running; len(ids) == 0 {
				return &ExitError{statusNotRunning, ErrNoLab}
			}
		}
		for _, id := range ids {
			if err := askLab(cmd, *folder, id, []string{wordList}); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func execCommand(folder *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec NODE -- CMD...",
		Short: "Run a command in the network namespace of a node, of the registry or of the router",
		Long: `Run a command in the network namespace of a node, of the registry or of the router.
In that of a node, re6st status and the like ask that node.`,
		Example: "  re6st lab exec n1 -- re6st status\n  re6st lab exec router -- nft list ruleset",
		Args:    usage(cobra.MinimumNArgs(2)),
	}
	id := cmd.Flags().String("lab", "", labFlag)
	cmd.Flags().SetInterspersed(false) // CMD's flags are CMD's, with or without --
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dir, err := find(*folder, *id)
		if errors.Is(err, ErrNoLab) {
			return &ExitError{statusNotRunning, err}
		}
		if err != nil {
			return err
		}
		words := args[1:]
		if words[0] == "--" {
			words = words[1:]
		}
		return execIn(dir, args[0], words)
	}
	return cmd
}

// envNode is where `re6st status` and the like look for their node's folder.
const envNode = "RE6ST_DIR"

// execIn becomes the command, in the namespace of a member of the lab.
func execIn(dir, member string, words []string) error {
	if len(words) == 0 {
		return &ExitError{exitUsage, errors.New("lab: which command? write: re6st lab exec NODE -- CMD")}
	}
	name, err := namespaceOf(dir, member)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return &ExitError{statusNotStarted, fmt.Errorf("lab: %w", err)}
	}
	ns, err := netns.Open(name)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // execve keeps the namespace of the thread that calls it
	if err := ns.Enter(); err != nil {
		return err
	}
	env := append(os.Environ(), EnvLab+"="+dir, envNode+"="+filepath.Join(dir, member))
	err = syscall.Exec(path, words, env)
	return &ExitError{statusNotStarted, fmt.Errorf("lab: %s: %w", path, err)}
}

// namespaceOf finds the namespace of a node, the registry or the router in lab.json.
func namespaceOf(dir, member string) (string, error) {
	d, err := readJSON(dir)
	if err != nil {
		return "", err
	}
	switch member {
	case registryName:
		return d.Registry, nil
	case routerName:
		return d.Router, nil
	}
	for _, n := range d.Nodes {
		if n.Name == member {
			return n.Netns, nil
		}
	}
	return "", fmt.Errorf("%w: %s; there are %s, %s and n1 to n%d", ErrNode, member, routerName, registryName, len(d.Nodes))
}
