package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"re6st/hw/netns"
	"re6st/hw/process"
)

// A machine that runs babeld, which knows nothing of claims, with a cable to each of
// some nodes. These speak with it where their configuration says trusted = ["babel0"].
const (
	babeldName = "babeld"
	babelCable = "babel0" // a node's end; babeld's has the node's name
)

// checkBabeld says whether a lab with these nodes can have them on babeld.
func checkBabeld(on []string, nodes int) error {
	for i, name := range on {
		if !slices.Contains(nodeNames(nodes), name) {
			return fmt.Errorf("lab: babeld is joined with %s, and the lab has n1 to %s", name, nodeName(nodes-1))
		}
		if slices.Contains(on[:i], name) {
			return fmt.Errorf("lab: babeld is joined with %s twice", name)
		}
	}
	return nil
}

// startBabeld makes the machine and starts babeld there. Its log is beside the nodes'.
func (l *Lab) startBabeld() error {
	on := l.options.Babeld
	if len(on) == 0 {
		return nil
	}
	path, err := exec.LookPath("babeld")
	if err != nil {
		return fmt.Errorf("lab: this scenario needs babeld, of the package babeld: %w", err)
	}
	ns, err := l.group.Create(babeldName)
	if err != nil {
		return err
	}
	dir := l.group.Dir()
	args := []string{"-I", filepath.Join(dir, "babeld.pid"), "-S", filepath.Join(dir, "babeld.state"), "-c", os.DevNull}
	for _, name := range on {
		if err := netns.Veth(ns, name, l.under.members[name], babelCable); err != nil {
			return err
		}
		args = append(args, "-C", "interface "+name+" type wired hello-interval 1 update-interval 4")
	}
	log, err := os.Create(logFile(l.logs(), babeldName))
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer log.Close()
	if err := ns.Sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
		return err
	}
	_, err = l.spawner.Start(process.Spec{Path: path, Args: append(args, on...), NS: ns, Stdout: log, Stderr: log})
	return err
}
