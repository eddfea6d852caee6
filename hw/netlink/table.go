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
	var changes Changes
	var errs []error
	wanted := make(map[key]Route, len(desired))
	for _, r := range desired {
		if r, err = r.normalise(); err != nil {
			errs = append(errs, err)
			continue
		}
		wanted[r.key()] = r
	}
	for _, k := range slices.SortedFunc(maps.Keys(wanted), key.compare) {
		was, exists := actual[k]
		switch {
		case exists && was == wanted[k]:
			changes.Kept++
		case !exists && foreign[k]:
			errs = append(errs, &RouteError{"set", wanted[k], ErrForeign})
		default:
			if err := t.set(wanted[k]); err != nil {
				errs = append(errs, err)
			} else if exists {
				changes.Replaced++
			} else {
				changes.Added++
			}
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(actual), key.compare) {
		if _, keep := wanted[k]; keep {
			continue
		}
		if err := t.remove(actual[k]); err != nil {
			errs = append(errs, err)
		} else {
			changes.Removed++
		}
	}
	return changes, errors.Join(errs...)
}

// Apply adds or replaces the routes of set, then deletes those of remove; deleting
// one that is gone is no error. It goes on after a failure and names each.
func (t *Table) Apply(set, remove []Route) error {
	var errs []error
	for _, r := range set {
		r, err := r.normalise()
		if err == nil {
			err = t.set(r)
		}
		errs = append(errs, err)
	}
	for _, r := range remove {
		r, err := r.normalise()
		if err == nil {
			err = t.remove(r)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// set writes one normalised route. NLM_F_REPLACE looks at destination and metric
// only, so it is used only where the place is known to be ours.
func (t *Table) set(r Route) error {
	flags := unix.NLM_F_CREATE | unix.NLM_F_EXCL
	if t.ours[r.key()] {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	err := t.execute(unix.RTM_NEWROUTE, flags, r)
	if errors.Is(err, unix.EEXIST) {
		err = ErrForeign
	}
	if err != nil {
		return &RouteError{"set", r, err}
	}
	t.ours[r.key()] = true
	return nil
}

// remove deletes one normalised route. The kernel compares the protocol number too.
func (t *Table) remove(r Route) error {
	delete(t.ours, r.key())
	err := t.execute(unix.RTM_DELROUTE, 0, Route{Dst: r.Dst, Src: r.Src, Metric: r.Metric, Kind: r.Kind})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return &RouteError{"remove", r, err}
	}
	return nil
}

func (t *Table) execute(kind, flags int, r Route) error {
	if err := t.conn.faults.Check(fault.NetlinkRoute); err != nil {
		return err
	}
	req := t.conn.request(kind, flags|unix.NLM_F_ACK)
	encodeRoute(req, t.table, t.protocol, r)
	if kind == unix.RTM_DELROUTE {
		// Any scope: the kernel has it from the next hop, which a deletion leaves out.
		req.Data[0].(*nl.RtMsg).Scope = unix.RT_SCOPE_NOWHERE
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
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
