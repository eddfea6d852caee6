package netlink

import (
	"errors"
	"fmt"
	"net/netip"
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

// PassOn lets go on what comes by a link from one prefix for another, both IPv6. It comes before Shut:
//
//	rule: iif LINK  from FROM  to TO  lookup main
func (c *Conn) PassOn(link string, from, to netip.Prefix) error {
	rule := passOn(unix.AF_INET6, link)
	rule.Src, rule.Dst = ipNet(from), ipNet(to)
	if err := c.handle.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("netlink: rule by which what comes by %s from %v for %v is passed on: %w", link, from, to, err)
	}
	return nil
}

// Unshut takes back what Shut and PassOn did; that they did nothing is no error.
func (c *Conn) Unshut(link string) error {
	for _, family := range ruleFamilies {
		err := c.handle.RuleDel(shut(family, link))
		if err == nil || errors.Is(err, unix.ENOENT) {
			err = c.handle.RuleDel(passOn(family, link))
		}
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
			if r.Priority == shutPriority && (r.Table == unix.RT_TABLE_UNSPEC || r.Table == MainTable) && strings.HasPrefix(r.IifName, prefix) && !slices.Contains(keep, r.IifName) {
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

// passOn is the rule of PassOn, or without prefixes one that finds it.
func passOn(family int, link string) *vnl.Rule {
	k := vnl.NewRule()
	k.Family, k.Priority, k.IifName, k.Table = family, shutPriority, link, MainTable
	return k
}
