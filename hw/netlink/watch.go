package netlink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// Event is one of LinkChanged, LinkGone, AddrChanged, AddrGone.
type Event interface{ event() }

// LinkChanged says that the link is new, or something in Link changed.
type LinkChanged struct{ Link Link }

// LinkGone says that the link left this namespace. Its addresses went before it.
type LinkGone struct{ Link Link }

// AddrChanged says that the address is new, or became usable or deprecated.
type AddrChanged struct{ Addr Addr }

// AddrGone says that the address was removed. It may be one that no AddrChanged told of.
type AddrGone struct{ Addr Addr }

func (LinkChanged) event() {}
func (LinkGone) event()    {}
func (AddrChanged) event() {}
func (AddrGone) event()    {}

// Watch reports every link and address, then each change, until ctx ends (it then
// returns ctx's error) or the socket fails. report runs on Watch's goroutine; while
// it blocks the kernel may drop messages, and then Watch dumps again and reports the
// difference: what the receiver believes is right in the end, though it may miss
// what came and went between. The Conn may be used at the same time.
func (c *Conn) Watch(ctx context.Context, report func(Event)) error {
	conn, err := open(c.ns)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetFaults(c.faults)
	w := watcher{conn: conn, report: report, links: map[int]Link{}, addrs: map[addrKey]Addr{}}
	for {
		// After an overflow the socket still holds messages older than those that it lost. A new
		// one is empty: whatever comes by it is newer than the dump, or in the dump already.
		if err := w.follow(ctx, c.ns); !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
}

type addrKey struct {
	link int
	addr netip.Addr
	bits int
}

func (a Addr) key() addrKey { return addrKey{a.Link, a.Prefix.Addr(), a.Prefix.Bits()} }

func (k addrKey) compare(o addrKey) int {
	return cmp.Or(cmp.Compare(k.link, o.link), k.addr.Compare(o.addr), cmp.Compare(k.bits, o.bits))
}

// watcher holds what has been reported, so that a repetition is no event.
type watcher struct {
	conn   *Conn
	report func(Event)
	links  map[int]Link
	addrs  map[addrKey]Addr
}

// follow subscribes, dumps, and then handles messages until ctx ends or the socket
// fails; with ENOBUFS messages were lost.
func (w *watcher) follow(ctx context.Context, ns netns.NsHandle) error {
	socket, err := nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("netlink: subscribe: %w", err)
	}
	stop := context.AfterFunc(ctx, socket.Close)
	defer func() {
		if stop() {
			socket.Close()
		}
	}()
	if err := w.resync(); err != nil {
		return err
	}
	for {
		messages, _, err := socket.Receive()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = w.conn.faults.Check(fault.NetlinkWatch)
		}
		if err != nil {
			return fmt.Errorf("netlink: watch: %w", err)
		}
		for _, m := range messages {
			if err := w.handle(m); err != nil {
				return err
			}
		}
	}
}

func (w *watcher) handle(m syscall.NetlinkMessage) error {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		info := nl.DeserializeIfInfomsg(m.Data)
		if info.Family != unix.AF_UNSPEC { // a bridge speaking of its port, not of the link
			return nil
		}
		l, err := vnl.LinkDeserialize((*unix.NlMsghdr)(&m.Header), m.Data)
		if err != nil {
			return fmt.Errorf("%w: link: %w", ErrMessage, err)
		}
		if m.Header.Type == unix.RTM_DELLINK {
			w.linkGone(l.Attrs().Index)
		} else {
			w.link(linkOf(l))
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, err := decodeAddr(m.Data)
		if err != nil {
			return err
		}
		if m.Header.Type == unix.RTM_DELADDR {
			// The kernel tells late of a new IPv6 address, and never if it was removed meanwhile.
			w.addrs[a.key()] = a
			w.addrGone(a.key())
		} else {
			w.addr(a)
		}
	}
	return nil
}

// resync dumps and reports how the kernel differs from what was reported.
func (w *watcher) resync() error {
	links, err := w.conn.Links()
	if err != nil {
		return err
	}
	addrs, err := w.conn.Addresses()
	if err != nil {
		return err
	}
	linkSeen, addrSeen := map[int]bool{}, map[addrKey]bool{}
	for _, l := range links {
		linkSeen[l.Index] = true
		w.link(l)
	}
	for _, a := range addrs {
		addrSeen[a.key()] = true
		w.addr(a)
	}
	for _, k := range slices.SortedFunc(maps.Keys(w.addrs), addrKey.compare) {
		if !addrSeen[k] {
			w.addrGone(k)
		}
	}
	for _, index := range slices.Sorted(maps.Keys(w.links)) {
		if !linkSeen[index] {
			w.linkGone(index)
		}
	}
	return nil
}

func (w *watcher) link(l Link) {
	if was, ok := w.links[l.Index]; !ok || was != l {
		w.links[l.Index] = l
		w.report(LinkChanged{l})
	}
}

func (w *watcher) linkGone(index int) {
	for _, k := range slices.SortedFunc(maps.Keys(w.addrs), addrKey.compare) {
		if k.link == index { // the kernel is silent about IPv4 addresses that go with their link
			w.addrGone(k)
		}
	}
	if was, ok := w.links[index]; ok {
		delete(w.links, index)
		w.report(LinkGone{was})
	}
}

func (w *watcher) addr(a Addr) {
	if was, ok := w.addrs[a.key()]; !ok || was != a {
		w.addrs[a.key()] = a
		w.report(AddrChanged{a})
	}
}

func (w *watcher) addrGone(k addrKey) {
	if was, ok := w.addrs[k]; ok {
		delete(w.addrs, k)
		w.report(AddrGone{was})
	}
}
