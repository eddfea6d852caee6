package netlink

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// shutPriority is behind the rule of the local table (0) alone.
const shutPriority = 1

// Shut has what comes by a link go no further than this machine, whatever routes lead there:
//
//	rule: iif LINK  blackhole
//
// The link need not be there: a rule goes by its name. Again it changes nothing.
func (c *Conn) Shut(link string) error {
	for _, family := range ruleFamilies {
		err := c.handle.RuleAdd(shut(family, link))
		if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EAFNOSUPPORT) {
			return fmt.Errorf("netlink: rule by which nothing that comes by %s is passed on: %w", link, err)
		}
	}
	return nil
}

// Unshut takes back what Shut did; that it did nothing is no error.
func (c *Conn) Unshut(link string) error {
	for _, family := range ruleFamilies {
		err := c.handle.RuleDel(shut(family, link))
		if err != nil && !errors.Is(err, unix.ENOENT) && !hasNoRules(err) {
			return fmt.Errorf("netlink: remove the rule by which nothing that comes by %s is passed on: %w", link, err)
		}
	}
	return nil
}

// UnshutAll does so for all links whose names begin so, but for those to be kept.
func (c *Conn) UnshutAll(prefix string, keep ...string) error {
	var errs []error
	for _, family := range ruleFamilies {
		list, err := dump(func() ([]vnl.Rule, error) { return c.handle.RuleList(family) })
		if err != nil && !hasNoRules(err) {
			errs = append(errs, fmt.Errorf("netlink: list rules: %w", err))
		}
		for _, r := range list {
			if r.Priority == shutPriority && r.Table == unix.RT_TABLE_UNSPEC && strings.HasPrefix(r.IifName, prefix) && !slices.Contains(keep, r.IifName) {
				errs = append(errs, c.Unshut(r.IifName))
			}
		}
	}
	return errors.Join(errs...)
}

// hasNoRules tells of a kernel that has none, or not that family.
func hasNoRules(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
}

func shut(family int, link string) *vnl.Rule {
	k := vnl.NewRule()
	k.Family, k.Priority, k.IifName, k.Type = family, shutPriority, link, unix.RTN_BLACKHOLE
	return k
}
