package netlink

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// Routes is what the router needs of the kernel. Table is the real one.
type Routes interface {
	// Reconcile makes the kernel hold exactly desired.
	Reconcile(desired []Route) (Changes, error)
	// Apply adds or replaces the routes of set and deletes those of remove.
	Apply(set, remove []Route) error
}

// MainTable is the routing table that is looked up without a rule.
const MainTable = unix.RT_TABLE_MAIN

// Changes counts what a Reconcile did.
type Changes struct {
	Added, Replaced, Removed, Kept int
}

// Table is the part of one kernel routing table, of both families, that carries one
// protocol number. It implements Routes. Not for concurrent use.
type Table struct {
	conn     *Conn
	table    uint32
	protocol uint8
	ours     map[key]bool // what we know to be there and ours, and so may replace
}

var _ Routes = (*Table)(nil)

// NewTable manages the routes with that protocol number (4 and up: below are the
// kernel's own) in that routing table. It changes nothing yet.
func NewTable(conn *Conn, table uint32, protocol uint8) (*Table, error) {
	if protocol <= unix.RTPROT_STATIC {
		return nil, fmt.Errorf("%w: protocol number %d belongs to the kernel and its administrator; take one above %d",
			ErrRoute, protocol, unix.RTPROT_STATIC)
	}
	return &Table{conn: conn, table: table, protocol: protocol, ours: map[key]bool{}}, nil
}

// Routes returns the routes of the table that carry its protocol number, in order.
func (t *Table) Routes() ([]Route, error) {
	ours, _, err := t.dump()
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(ours), func(a, b Route) int { return a.key().compare(b.key()) }), nil
}

// Reconcile makes the kernel hold exactly desired among the routes with our number:
// it dumps, adds what lacks, replaces what differs in one step (no packet finds the
// place empty), and deletes the rest, such as a crashed run's. Of two desired routes
// with one destination, source and metric the last counts. An error names every
// route that failed; the others are in place.
func (t *Table) Reconcile(desired []Route) (Changes, error) {
	actual, foreign, err := t.dump()
	if err != nil {
		return Changes{}, err
	}
	t.ours = make(map[key]bool, len(actual))
	for k := range actual {
		t.ours[k] = true
	}
	wanted, errs := normalised(desired)
	var changes Changes
	var todo []change
	for _, k := range slices.SortedFunc(maps.Keys(wanted), key.compare) {
		was, exists := actual[k]
		switch {
		case exists && was == wanted[k]:
			changes.Kept++
		case !exists && foreign[k]:
			errs = append(errs, &RouteError{"set", wanted[k], ErrForeign})
		default:
			todo = append(todo, change{wanted[k], false})
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(actual), key.compare) {
		if _, keep := wanted[k]; !keep {
			todo = append(todo, change{actual[k], true})
		}
	}
	for i, err := range t.carryOut(todo) {
		_, exists := actual[todo[i].route.key()]
		switch {
		case err != nil:
			errs = append(errs, err)
		case todo[i].remove:
			changes.Removed++
		case exists:
			changes.Replaced++
		default:
			changes.Added++
		}
	}
	return changes, failures(errs)
}

// normalised are routes by their keys, and what is wrong with the others.
func normalised(routes []Route) (map[key]Route, []error) {
	var errs []error
	all := make(map[key]Route, len(routes))
	for _, r := range routes {
		r, err := r.normalise()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all[r.key()] = r
	}
	return all, errs
}

// Apply adds or replaces the routes of set, then deletes those of remove; deleting
// one that is gone is no error. It goes on after a failure and names each. Of two in set
// with one destination, source and metric the last counts.
func (t *Table) Apply(set, remove []Route) error {
	wanted, errs := normalised(set)
	unwanted, bad := normalised(remove)
	var todo []change
	for _, k := range slices.SortedFunc(maps.Keys(wanted), key.compare) {
		todo = append(todo, change{wanted[k], false})
	}
	for _, k := range slices.SortedFunc(maps.Keys(unwanted), key.compare) {
		todo = append(todo, change{unwanted[k], true})
	}
	return failures(slices.Concat(errs, bad, t.carryOut(todo)))
}

// change is a normalised route to be set, or to be removed.
type change struct {
	route  Route
	remove bool
}

// carryOut makes changes in their order, and returns the error of each.
func (t *Table) carryOut(todo []change) []error {
	errs := make([]error, len(todo))
	requests := make([]*nl.NetlinkRequest, 0, len(todo))
	sent := make([]int, 0, len(todo)) // of each request: which change it is
	for i, c := range todo {
		if errs[i] = t.conn.faults.Check(fault.NetlinkRoute); errs[i] == nil {
			requests, sent = append(requests, t.request(c)), append(sent, i)
		}
	}
	for i, err := range t.conn.executeAll(requests) {
		errs[sent[i]] = err
	}
	for i, c := range todo {
		errs[i] = t.took(c, errs[i])
	}
	return errs
}

// request is a change for the kernel. NLM_F_REPLACE looks at destination and metric
// only, so it is used only where the place is known to be ours.
func (t *Table) request(c change) *nl.NetlinkRequest {
	if c.remove {
		req := t.conn.request(unix.RTM_DELROUTE, 0)
		encodeRoute(req, t.table, t.protocol, Route{Dst: c.route.Dst, Src: c.route.Src, Metric: c.route.Metric, Kind: c.route.Kind})
		// Any scope: the kernel has it from the next hop, which a deletion leaves out.
		req.Data[0].(*nl.RtMsg).Scope = unix.RT_SCOPE_NOWHERE
		return req // the kernel compares the protocol number too
	}
	flags := unix.NLM_F_CREATE | unix.NLM_F_EXCL
	if t.ours[c.route.key()] {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	req := t.conn.request(unix.RTM_NEWROUTE, flags)
	encodeRoute(req, t.table, t.protocol, c.route)
	return req
}

// took notes what became of a change, and names it where it failed.
func (t *Table) took(c change, err error) error {
	if c.remove {
		delete(t.ours, c.route.key())
	}
	switch {
	case c.remove && (err == nil || errors.Is(err, unix.ESRCH)):
		return nil
	case c.remove:
		return &RouteError{"remove", c.route, err}
	case err == nil:
		t.ours[c.route.key()] = true
		return nil
	case errors.Is(err, unix.EEXIST):
		err = ErrForeign
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		err = fmt.Errorf("%w: %w", ErrNoRoom, err)
	case errors.Is(err, unix.EINVAL) && c.route.Src.IsValid():
		err = fmt.Errorf("%w: %w", ErrBySource, err)
	}
	return &RouteError{"set", c.route, err}
}

// dump reads the table: our routes, and the places that others' hold.
func (t *Table) dump() (ours map[key]Route, foreign map[key]bool, err error) {
	routes, err := dump(t.list)
	if err != nil {
		return nil, nil, fmt.Errorf("netlink: list routes: %w", err)
	}
	ours, foreign = map[key]Route{}, map[key]bool{}
	for _, h := range routes {
		switch {
		case h.table != t.table || h.cloned:
		case h.protocol == t.protocol:
			ours[h.route.key()] = h.route
		default:
			foreign[h.route.key()] = true
		}
	}
	return ours, foreign, nil
}

// list dumps the routes of all tables, both families.
func (t *Table) list() ([]held, error) {
	if err := t.conn.faults.Check(fault.NetlinkRoute); err != nil {
		return nil, err
	}
	var routes []held
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		req := t.conn.request(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
		req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}})
		err := t.conn.dumpInto(req, unix.RTM_NEWROUTE, func(b []byte) error {
			h, err := decodeRoute(b)
			routes = append(routes, h)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return routes, nil
}
