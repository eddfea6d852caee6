package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"re6st/hw/netlink"
	"re6st/hw/tun"
)

// No kernel is asked to delay packets (netem is a module that many lack): the router routes
// those of a delayed edge into a TUN, one for each direction, from which the lab takes them,
// and gives them back to the router when they are due. Both times they pass its rules, and
// both times a hop is taken from them.
//
//	n1 -- port n1 --> delay1 --> lab, waits --> delay1 --> port n2 -- n2
//
// What comes by a member's ports is looked up in a table of its own before the main one: it
// leads to the delayed neighbors.
const (
	delayName  = "delay" // and a number
	delayTable = 1000    // of the first of them; the others' follow
	// delayRoom is how many packets of one direction wait at most; what comes then is dropped.
	delayRoom = 4096
	// underlayMTU is more than any link of the router has: these decide.
	underlayMTU = 65535
	// maxDelay is there for who writes s and means ms.
	maxDelay = 10 * time.Second
)

// towards is one direction of an edge.
type towards struct{ from, to string }

// delayed are the packets of one direction that wait.
type delayed struct {
	device tun.Device
	by     atomic.Int64 // time.Duration
	queue  chan held
	over   sync.WaitGroup
}

type held struct {
	packet []byte
	due    time.Time
}

// delays are those of a lab. Not for concurrent use.
type delays struct {
	lines map[towards]*delayed
	made  int // devices so far: each has another name
}

// devices are the names by which the router's rules know them.
func (d *delays) devices() map[towards]string {
	names := map[towards]string{}
	for t, l := range d.lines {
		names[t] = l.device.Name()
	}
	return names
}

// close ends all of them.
func (d *delays) close() error {
	var errs []error
	for _, l := range d.lines {
		errs = append(errs, l.close())
	}
	clear(d.lines)
	return errors.Join(errs...)
}

// setDelay has each packet of an edge take so much longer, in either direction; 0 is no
// delay. Packets that wait when that begins to hold are lost.
func (u *underlay) setDelay(ctx context.Context, e Edge, by time.Duration) error {
	if err := u.rules.check(e); err != nil {
		return err
	}
	if u.topology == LAN {
		return fmt.Errorf("%w: on a LAN no router is between the nodes that could delay", ErrState)
	}
	var errs []error
	var ended []*delayed
	for _, t := range []towards{{e.A, e.B}, {e.B, e.A}} {
		line := u.delays.lines[t]
		switch {
		case by > 0 && line != nil:
			line.by.Store(int64(by))
		case by > 0:
			errs = append(errs, u.addDelay(t, by))
		case line != nil:
			ended = append(ended, line)
			delete(u.delays.lines, t)
		}
	}
	u.rules.delayed = u.delays.devices()
	errs = append(errs, u.load(ctx), u.routeDelayed()) // the way in once the way out is open
	for _, line := range ended {
		errs = append(errs, line.close())
	}
	return errors.Join(errs...)
}

func (u *underlay) addDelay(t towards, by time.Duration) error {
	u.delays.made++
	line := &delayed{queue: make(chan held, delayRoom)}
	line.by.Store(int64(by))
	name := fmt.Sprint(delayName, u.delays.made)
	err := u.router.Do(func() (err error) {
		line.device, err = tun.Open(tun.Config{Name: name, MTU: underlayMTU, Plain: true})
		return err
	})
	if err != nil {
		return err
	}
	u.delays.lines[t] = line
	line.over.Go(line.take)
	line.over.Go(line.give)
	// Its packets have other addresses than its own network would: it has none.
	return errors.Join(u.router.Sysctl("net/ipv4/conf/all/rp_filter", "0"), u.router.Sysctl("net/ipv4/conf/"+name+"/rp_filter", "0"))
}

// take reads until the device is closed.
func (d *delayed) take() {
	defer close(d.queue)
	room := make([]byte, underlayMTU)
	for {
		n, _, err := d.device.Read(room, true)
		if err != nil {
			return // closed, or gone with its namespace
		}
		select {
		case d.queue <- held{slices.Clone(room[:n]), time.Now().Add(time.Duration(d.by.Load()))}:
		default: // as a queue in the way drops
		}
	}
}

// give hands packets back when they are due, in the order in which they came.
func (d *delayed) give() {
	for w := range d.queue {
		time.Sleep(time.Until(w.due))
		_, _ = d.device.Write(w.packet) // refused: lost
	}
}

func (d *delayed) close() error {
	err := d.device.Close()
	for range d.queue { // those that wait are lost
	}
	d.over.Wait()
	return err
}

// routeDelayed has the router route what is to be delayed into the devices, and nothing else.
func (u *underlay) routeDelayed() error {
	return withNetlink(u.router, func(router *netlink.Conn) error {
		var inputs []netlink.InputTable
		var errs []error
		for i, from := range u.delayTables() {
			routes, err := u.delayRoutes(router, from)
			errs = append(errs, err)
			table, err := netlink.NewTable(router, uint32(delayTable+i), protocol)
			if err == nil {
				_, err = table.Reconcile(routes)
			}
			errs = append(errs, err)
			if len(routes) == 0 {
				continue
			}
			for _, port := range u.rules.ports(from) {
				inputs = append(inputs, netlink.InputTable{Link: port, Table: uint32(delayTable + i)})
			}
		}
		return errors.Join(append(errs, router.SetInputTables(protocol, inputs))...)
	})
}

// delayTables are the members in the order of their tables.
func (u *underlay) delayTables() []string {
	return slices.SortedFunc(maps.Keys(u.members), compareNames)
}

// delayRoutes lead from a member to those neighbors to which its packets are delayed.
func (u *underlay) delayRoutes(router *netlink.Conn, from string) (routes []netlink.Route, err error) {
	for t, line := range u.delays.lines {
		if t.from != from {
			continue
		}
		link, err := router.Link(line.device.Name())
		if err != nil {
			return nil, err
		}
		for _, p := range u.outside(t.to) {
			routes = append(routes, netlink.Route{Dst: p.Masked(), Link: link.Index})
		}
	}
	return routes, nil
}

// outside are the subnets in which the router reaches a member.
func (u *underlay) outside(name string) (all []netip.Prefix) {
	places := []place{u.places[name]}
	if n, behind := u.nats[name]; behind {
		places[0] = n.place
	}
	if p, ok := u.seconds[name]; ok {
		places = append(places, p)
	}
	for _, p := range places {
		for _, a := range []netip.Prefix{p.addr4, p.addr6} {
			if a.IsValid() {
				all = append(all, a)
			}
		}
	}
	return all
}
