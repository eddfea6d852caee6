package rival

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"re6st/hw/process"
)

// ErrDaemon is a daemon that is not known, or not installed.
var ErrDaemon = errors.New("no such daemon")

// Daemon is a router of others.
type Daemon string

// The daemons.
const (
	Babeld Daemon = "babeld"
	BIRD   Daemon = "bird"
)

// packages are what Debian calls them.
var packages = map[Daemon]string{Babeld: "babeld", BIRD: "bird2"}

// Check says whether the daemon is installed.
func (d Daemon) Check() error {
	name, known := packages[d]
	if !known {
		return fmt.Errorf("rival: %w: %q; there are %s and %s", ErrDaemon, d, Babeld, BIRD)
	}
	if _, err := exec.LookPath(string(d)); err != nil {
		return fmt.Errorf("rival: %w here: install Debian's package %s", ErrDaemon, name)
	}
	return nil
}

// Version is what the daemon says of itself, in a word.
func (d Daemon) Version() string {
	flag := map[Daemon]string{Babeld: "-V", BIRD: "--version"}[d]
	out, err := exec.Command(string(d), flag).CombinedOutput()
	if err != nil {
		return "?"
	}
	words := strings.FieldsFunc(string(out), func(r rune) bool { return r == ' ' || r == '-' || r == '\n' })
	return words[len(words)-1]
}

// config is the configuration of node i, with the links by their names.
func (d Daemon) config(i int, links []string, hello time.Duration) string {
	var b strings.Builder
	if d == Babeld {
		for _, link := range links {
			fmt.Fprintf(&b, "interface %s type tunnel hello-interval %g\n", link, hello.Seconds())
		}
		fmt.Fprintf(&b, "redistribute local ip %s allow\nredistribute local deny\n", address(i))
		return b.String()
	}
	// At the default of 60 s it does not see for as long that a link took its routes along.
	fmt.Fprintf(&b, `router id 10.0.0.%d;
protocol device { scan time 2; }
protocol direct { ipv6; interface "lo"; }
protocol kernel { scan time 2; ipv6 { export all; import none; }; }
protocol babel {
  ipv6 { import all; export where source = RTS_DEVICE || source = RTS_BABEL; };
`, i+1)
	for _, link := range links {
		fmt.Fprintf(&b, "  interface %q { type wired; hello interval %d s; };\n", link, int(hello.Seconds()))
	}
	return b.String() + "}\n"
}

// spec runs the daemon in the foreground on a configuration in dir.
func (d Daemon) spec(dir, config string, links []string) process.Spec {
	if d == Babeld {
		args := []string{"-I", filepath.Join(dir, "pid"), "-S", filepath.Join(dir, "state"), "-c", config}
		return process.Spec{Path: string(d), Args: append(args, links...)}
	}
	return process.Spec{Path: string(d), Args: []string{"-f", "-c", config, "-s", filepath.Join(dir, "ctl")}}
}
