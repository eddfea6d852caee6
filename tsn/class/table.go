package class

import (
	"errors"
	"fmt"
	"net/netip"
)

// ID is the class as it stands in the hop header.
type ID uint8

// General is the class of the network's own range; every network has it.
const General ID = 0

// MaxClasses bounds a Table: a node has as many addresses and queues.
const MaxClasses = 16

// ErrTable is wrapped by every error of NewTable.
var ErrTable = errors.New("bad traffic classes")

// Class is one traffic class.
type Class struct {
	ID    ID
	Name  string
	Range netip.Prefix // IPv6; a node's prefix follows it
	DSCP  uint8        // 0 to 63, of the outer packet
}

// Table is the classes of a network. The zero Table has none.
type Table struct{ classes []Class }

// NewTable checks that ids, names and ranges are distinct, ranges do not
// overlap, and general is there.
func NewTable(classes []Class) (Table, error) {
	if len(classes) > MaxClasses {
		return Table{}, fmt.Errorf("%w: %d classes, at most %d", ErrTable, len(classes), MaxClasses)
	}
	general := false
	for i, c := range classes {
		general = general || c.ID == General
		switch {
		case c.Name == "":
			return Table{}, fmt.Errorf("%w: class %d has no name", ErrTable, c.ID)
		case !c.Range.IsValid() || !c.Range.Addr().Is6() || c.Range != c.Range.Masked():
			return Table{}, fmt.Errorf("%w: range %s of class %s is not an IPv6 prefix without host bits", ErrTable, c.Range, c.Name)
		case c.DSCP > 63:
			return Table{}, fmt.Errorf("%w: DSCP %d of class %s is above 63", ErrTable, c.DSCP, c.Name)
		}
		for _, d := range classes[:i] {
			if c.ID == d.ID || c.Name == d.Name || c.Range.Overlaps(d.Range) {
				return Table{}, fmt.Errorf("%w: %s (%d, %s) and %s (%d, %s) clash", ErrTable, d.Name, d.ID, d.Range, c.Name, c.ID, c.Range)
			}
		}
	}
	if !general {
		return Table{}, fmt.Errorf("%w: class %d (general) is missing", ErrTable, General)
	}
	return Table{append([]Class(nil), classes...)}, nil
}

// All lists the classes in the order given to NewTable. The caller must not
// change the slice.
func (t Table) All() []Class { return t.classes }

// Classify tells the class whose range holds a.
func (t Table) Classify(a netip.Addr) (Class, bool) {
	for _, c := range t.classes {
		if c.Range.Contains(a) {
			return c, true
		}
	}
	return Class{}, false
}
