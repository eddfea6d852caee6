package netlink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// WatchDefault reports whether the namespace has an IPv6 default route of any other
// protocol number than that given, in the main table: once at the start, and then each
// change, until ctx ends (it then returns ctx's error) or the socket fails. report runs
// on its goroutine. The Conn may be used at the same time.
func (c *Conn) WatchDefault(ctx context.Context, protocol uint8, report func(there bool)) error {
	conn, err := open(c.ns)
	if err != nil {
		return err
	}
	defer conn.Close()
	w := defaultWatcher{table: Table{conn: conn, table: MainTable, protocol: protocol}, report: report}
	for {
		if err := w.follow(ctx, c.ns); !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
}

// defaultWatcher holds what was reported, so that a repetition is none.
type defaultWatcher struct {
	table       Table
	report      func(bool)
	told, there bool
}

// follow subscribes, dumps, and dumps again whenever a default route changed; with
// ENOBUFS messages were lost.
func (w *defaultWatcher) follow(ctx context.Context, ns netns.NsHandle) error {
	socket, err := nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: subscribe: %w", err)
	}
	stop := context.AfterFunc(ctx, socket.Close)
	defer func() {
		if stop() {
			socket.Close()
		}
	}()
	if err := w.look(); err != nil {
		return err
	}
	for {
		messages, _, err := socket.Receive()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("netlink: watch: %w", err)
		}
		concerns := false
		for _, m := range messages {
			h, err := decodeRoute(m.Data)
			concerns = concerns || err == nil && w.counts(h)
		}
		if concerns {
			if err := w.look(); err != nil {
				return err
			}
		}
	}
}

// look dumps the table and reports what is new.
func (w *defaultWatcher) look() error {
	routes, err := dump(w.table.list)
	if err != nil {
		return fmt.Errorf("netlink: list routes: %w", err)
	}
	there := false
	for _, h := range routes {
		there = there || w.counts(h)
	}
	if !w.told || there != w.there {
		w.told, w.there = true, there
		w.report(there)
	}
	return nil
}

// counts tells whether a route is a way out that is not ours.
func (w *defaultWatcher) counts(h held) bool {
	everywhere := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	return h.table == w.table.table && h.protocol != w.table.protocol && !h.cloned &&
		h.route.Dst == everywhere && !h.route.Src.IsValid() && h.route.Kind == Unicast
}
