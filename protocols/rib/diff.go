package rib

// Change is one difference between two states of a table. Old is the zero
// Route where a route appeared, New where one disappeared.
type Change struct {
	Key      Key
	Old, New Route
}

// Added tells whether there was no route before.
func (c Change) Added() bool { return !c.Old.Prefix.IsValid() }

// Removed tells whether there is no route now.
func (c Change) Removed() bool { return !c.New.Prefix.IsValid() }

// Diff is what has to be done to a table programmed as old, so that it becomes
// as new: sorted by Key. Either may be nil. A mere change of Since is none.
func Diff(old, new *View) []Change {
	if old == new {
		return nil
	}
	var changes []Change
	o, n := old.Routes(), new.Routes()
	for len(o) > 0 || len(n) > 0 {
		switch {
		case len(n) == 0 || len(o) > 0 && o[0].Key().Compare(n[0].Key()) < 0:
			changes = append(changes, Change{Key: o[0].Key(), Old: o[0]})
			o = o[1:]
		case len(o) == 0 || o[0].Key().Compare(n[0].Key()) > 0:
			changes = append(changes, Change{Key: n[0].Key(), New: n[0]})
			n = n[1:]
		default:
			if !o[0].equal(n[0]) {
				changes = append(changes, Change{n[0].Key(), o[0], n[0]})
			}
			o, n = o[1:], n[1:]
		}
	}
	return changes
}

// equal compares all but Since.
func (r Route) equal(o Route) bool {
	o.Since = r.Since
	return r == o
}
