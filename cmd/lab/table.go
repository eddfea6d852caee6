package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
)

// table shows the lab and its nodes, as they are now.
func (l *Lab) table(ctx context.Context) string {
	var b strings.Builder
	fmt.Fprintf(&b, "lab %s: %d nodes, %s, %s\n", l.ID(), len(l.names), l.options.Topology, l.Dir())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tPREFIX\tADDRESS\tLINKS\tPID\tRSS\tUNDERLAY\tNAMESPACE")
	for _, s := range l.snapshot() {
		pid, rss, links, prefix, address := "-", "-", "-", "-", "-"
		if s.pid != 0 {
			pid, rss = fmt.Sprint(s.pid), megabytes(s.pid)
			if n, err := l.program.links(ctx, s.dir); err == nil {
				links = fmt.Sprint(n)
			}
		}
		if a := s.who.addresses[generalClass]; a.IsValid() {
			prefix, address = s.who.prefix, a.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%v\t%s\n", s.name, prefix, address, links, pid, rss,
			l.under.places[s.name].addr4.Addr(), s.netns)
	}
	w.Flush()
	return b.String()
}

// megabytes shows how much memory a process holds; "-" where the kernel does not tell.
func megabytes(pid int) string {
	n, ok := residentMemory(pid)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.1fMB", float64(n)/1e6)
}

// residentMemory is how much memory a process holds, in bytes; false where the kernel
// does not tell.
func residentMemory(pid int) (uint64, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		var kib uint64
		if _, err := fmt.Sscanf(string(line), "VmRSS: %d kB", &kib); err == nil {
			return kib * 1024, true
		}
	}
	return 0, false
}
