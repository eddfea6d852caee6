package netlink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// gather is how long WatchUplinks waits for what belongs to one change: an address goes,
// another comes, with its routes.
const gather = 30 * time.Millisecond

// Uplink is an address by which this host reaches others. Comparable.
type Uplink struct {
	Link    int          // index of the interface that has the address
	Prefix  netip.Prefix // the address with its on-link prefix length, not masked
	Default bool         // a default route of that family leads out by the interface
	Metric  uint32       // of the default route; lower is preferred
}

// Uplinks are the addresses of all interfaces that run, but for the loopback and the
// TUNs of meshes: those with a default route first, in its order. Link-local, tentative
// and deprecated ones do not count.
func (c *Conn) Uplinks() ([]Uplink, error) {
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	addrs, err := c.Addresses()
	if err != nil {
		return nil, err
	}
	defaults, err := c.defaults()
	if err != nil {
		return nil, err
	}
	runs := map[int]bool{}
	for _, l := range links {
		runs[l.Index] = l.Running && !l.Loopback && l.Group != MeshGroup
	}
	var uplinks []Uplink
	for _, a := range addrs {
		if !runs[a.Link] || a.Tentative || a.Deprecated || !a.Prefix.Addr().IsGlobalUnicast() {
			continue
		}
		u := Uplink{Link: a.Link, Prefix: a.Prefix}
		for _, r := range defaults {
			if r.Link == a.Link && r.Dst.Addr().Is4() == a.Prefix.Addr().Is4() && (!u.Default || r.Metric < u.Metric) {
				u.Default, u.Metric = true, r.Metric
			}
		}
		uplinks = append(uplinks, u)
	}
	slices.SortStableFunc(uplinks, func(a, b Uplink) int {
		if a.Default != b.Default {
			return cmp.Compare(b2i(b.Default), b2i(a.Default))
		}
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Link, b.Link))
	})
	return uplinks, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// defaults are the default routes of the main table, both families, from any source.
func (c *Conn) defaults() ([]Route, error) {
	t := &Table{conn: c}
	routes, err := dump(t.list)
	if err != nil {
		return nil, fmt.Errorf("netlink: list routes: %w", err)
	}
	var defaults []Route
	for _, h := range routes {
		if h.isDefault() {
			defaults = append(defaults, h.route)
		}
	}
	return defaults, nil
}

// isDefault tells of a default route of the main table.
func (h held) isDefault() bool {
	r := h.route
	return h.table == MainTable && !h.cloned && r.Dst.Bits() == 0 && !r.Src.IsValid() && r.Kind == Unicast
}

// WatchUplinks reports the uplinks at the start and whenever a link, an address or a
// default route has changed, be it that they are the same as before, until ctx ends (it
// then returns ctx's error) or the socket fails. report runs on its goroutine. The Conn
// may be used at the same time.
func (c *Conn) WatchUplinks(ctx context.Context, report func([]Uplink)) error {
	conn, err := open(c.ns)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetFaults(c.faults)
	for {
		if err := conn.followUplinks(ctx, c.ns, report); !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
}

// followUplinks subscribes and reports; with ENOBUFS messages were lost.
func (c *Conn) followUplinks(ctx context.Context, ns netns.NsHandle, report func([]Uplink)) error {
	socket, err := nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: subscribe: %w", err)
	}
	stop := context.AfterFunc(ctx, socket.Close)
	defer func() {
		if stop() {
			socket.Close()
		}
	}()
	for {
		uplinks, err := c.Uplinks()
		if err != nil {
			return err
		}
		report(uplinks)
		for concerns := false; !concerns; {
			messages, _, err := socket.Receive()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				err = c.faults.Check(fault.NetlinkWatch)
			}
			if err != nil {
				return fmt.Errorf("netlink: watch: %w", err)
			}
			concerns = slices.ContainsFunc(messages, concernsUplinks)
		}
		time.Sleep(gather)
	}
}

// concernsUplinks tells whether a message may be about a change of Uplinks.
func concernsUplinks(m syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		h, err := decodeRoute(m.Data)
		return err == nil && h.isDefault()
	default:
		return true
	}
}
