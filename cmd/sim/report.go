package sim

import (
	"fmt"
	"io"
	"strconv"

	"re6st/protocols/simnet"
)

// line is what came of one step.
func line(s simnet.StepReport) string {
	text := fmt.Sprintf("%9.3f s  %s", s.At, s.Text)
	switch {
	case !s.OK:
		text += ": FAILED: " + s.Says
	case s.Took > 0:
		text += fmt.Sprintf(": after %.3f s", s.Took)
	}
	return text
}

// write writes what a person wants to know.
func (r Report) write(w io.Writer) {
	fmt.Fprintf(w, "\n%s nodes, %s, %s edges, %s links at the end, %s prefixes, seed %d\n", count(r.Nodes), r.Topology, count(r.Edges), count(r.Links), count(r.Prefixes), r.Seed)
	fmt.Fprintf(w, "sent     %s packets of %s bytes in %.1f s; %s bytes a node, %s an edge; %s packets lost\n",
		count(r.Sent.Packets), count(r.Sent.Bytes), r.Virtual, count(int64(r.BytesNode)), count(int64(r.BytesLink)), count(r.Sent.Lost))
	fmt.Fprintf(w, "tables   %s routes a node, at most %s; %s sources (of %d nodes)\n",
		count(int64(r.Tables.Routes)), count(r.Tables.Most), count(int64(r.Tables.Sources)), r.Tables.Nodes)
	fmt.Fprintf(w, "checked  %s paths at changes of routes, %s distances, %s times a prefix from all nodes\n",
		count(r.Checks.Loops), count(r.Checks.Feasible), count(r.Checks.Columns))
	fmt.Fprintf(w, "took     %.1f s on %d processors, %.1f s of CPU, %s MB of memory at most\n", r.Wall, r.Processors, r.CPU, count(r.Peak>>20))
	fmt.Fprintf(w, "hash     %s\n", r.Hash)
	if r.Problem != "" {
		fmt.Fprintf(w, "BROKEN   %s\n", r.Problem)
	}
}

// count writes a number with its thousands apart.
func count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
