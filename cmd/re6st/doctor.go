package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/actors/registry"
	"re6st/hw/doctor"
)

// diagnosis is what `re6st doctor --json` prints.
type diagnosis struct {
	monitor.Header
	Lacks    int              `json:"lacks"`
	Notes    int              `json:"notes"`
	Findings []doctor.Finding `json:"findings"`
}

func doctorCommand() *cobra.Command {
	var f nodeFlags
	var config string
	var all bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine this machine for what a node needs",
		Long: `Examine this machine for what a node needs: kernel, sockets, settings, clock, underlay, folder,
identity, registry, and the node if it runs. Each lack comes with what needs it and with its
cure. Features are tried in a network namespace that ends with the examination; nothing is
changed, but that the kernel loads modules. The exit code is 4 where a node lacks something.`,
		Example: "  re6st doctor\n  re6st doctor -d /var/lib/re6st --all\n  re6st doctor --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := diagnose(cmd.Context(), &f, config)
			show := showDiagnosis
			if f.json {
				show = func(w io.Writer, d diagnosis, _ bool) error { return printJSON(w, d) }
			}
			if err := show(cmd.OutOrStdout(), d, all); err != nil {
				return err
			}
			if d.Lacks > 0 {
				return silentExit(exitDegraded)
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&config, "config", "", "the node's configuration file (DIR/node.toml where it exists)")
	cmd.Flags().BoolVar(&all, "all", false, "show also what is well")
	return cmd
}

// diagnose examines all there is.
func diagnose(ctx context.Context, f *nodeFlags, config string) diagnosis {
	all := doctor.Examine(doctor.Patient{Dir: f.dir})
	c, err := readNodeConfig(f.dir, config)
	if err != nil {
		all = append(all, doctor.Finding{
			Area: "folder", Name: "configuration", Grade: doctor.Lack, Found: err.Error(), For: "a start or a reload of the node",
			Cure: "correct the line; re6st node --help lists the keys",
		})
	}
	if missing := c.OpenVPNMissing(); err == nil && missing != nil {
		all = append(all, doctor.Finding{
			Area: "tunnels", Name: "openvpn", Grade: doctor.Lack, Found: missing.Error(), For: "links by OpenVPN",
			Cure: "apt-get install openvpn; or say where it is, with openvpn in node.toml; or take it out of tunnels",
		})
	}
	all = append(all, registry.Checkup(ctx, f.dir, time.Now)...)
	running, findings := nodeFindings(ctx, f)
	all = append(all, findings...)
	if !running && err == nil && *c.Port != 0 {
		all = append(all, doctor.Port(*c.Port))
	}
	if !running && err == nil && c.ServesTLS() {
		all = append(all, doctor.TLSPort(*c.TLSPort))
	}
	return diagnosis{
		Header: monitor.Header{Version: monitor.Schema, Now: time.Now().UTC()},
		Lacks:  doctor.Count(all, doctor.Lack), Notes: doctor.Count(all, doctor.Note), Findings: all,
	}
}

// nodeFindings is what a running node says of itself.
func nodeFindings(ctx context.Context, f *nodeFlags) (running bool, all []doctor.Finding) {
	finding := doctor.Finding{Area: "node", Name: "state", For: "being part of the mesh"}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var s monitor.Status
	if err := f.client().Get(ctx, "status", &s); err != nil {
		finding.Grade, finding.Found, finding.Cure = doctor.Unknown, err.Error(), "ask as the node's user, or as root"
		if errors.Is(err, monitor.ErrNotRunning) {
			finding.Grade, finding.Cure = doctor.Note, "re6st node -d "+f.dir+", or systemctl start re6st-node"
		}
		return false, []doctor.Finding{finding}
	}
	finding.Grade = doctor.OK
	finding.Found = fmt.Sprintf("%s, %d links, reaches %d nodes", s.State, s.Links.Opened+s.Links.Accepted+s.Links.LAN, s.Reachable)
	all = append(all, finding)
	for _, p := range s.Problems {
		all = append(all, doctor.Finding{
			Area: "node", Name: "problem", Grade: doctor.Lack, Found: p, For: "being part of the mesh", Cure: "re6st events tells how it came to that",
		})
	}
	return true, all
}

// showDiagnosis writes what is not well, worst first, or all of it.
func showDiagnosis(w io.Writer, d diagnosis, all bool) error {
	grades := []doctor.Grade{doctor.Lack, doctor.Unknown, doctor.Note}
	if all {
		grades = append(grades, doctor.OK)
	}
	for _, g := range grades {
		for _, f := range d.Findings {
			if f.Grade != g {
				continue
			}
			if _, err := io.WriteString(w, findingText(f)); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "%d examined: %d lacking, %d optional not there, %d unknown\n",
		len(d.Findings), d.Lacks, d.Notes, doctor.Count(d.Findings, doctor.Unknown))
	return err
}

// findingText is a finding as a person reads it: what was found, and below it why it matters.
func findingText(f doctor.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-7s  %s: %s\n", f.Grade, strings.TrimSpace(f.Area+" "+f.Name), f.Found)
	if f.Grade != doctor.OK {
		fmt.Fprintf(&b, "         for   %s\n", orDash(f.For))
		fmt.Fprintf(&b, "         cure  %s\n", orDash(f.Cure))
	}
	return b.String()
}
