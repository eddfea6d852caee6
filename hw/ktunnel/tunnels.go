package ktunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"re6st/hw/netlink"
	"re6st/protocols/ktunnel"
)

// markText stands before the owner in a link's alias.
const markText = "re6st tunnel "

// Tunnels are those of one owner in one network namespace. Not for concurrent use.
type Tunnels struct {
	owner   string
	at      netns.NsHandle // none: the process's own
	conn    *netlink.Conn
	handle  *vnl.Handle
	sockets map[int]*nl.SocketHandle
	led     map[string]int // index of each link into which Lead has led packets
}

// Open takes the namespace of the process. The owner is a name that no other user of this
// package has there, such as the name of the node's interface.
func Open(owner string) (*Tunnels, error) {
	conn, err := netlink.Open()
	if err != nil {
		return nil, err
	}
	return open(netns.None(), conn, owner)
}

// OpenAt takes the namespace that fd refers to.
func OpenAt(fd int, owner string) (*Tunnels, error) {
	conn, err := netlink.OpenAt(fd)
	if err != nil {
		return nil, err
	}
	return open(netns.NsHandle(fd), conn, owner)
}

func open(ns netns.NsHandle, conn *netlink.Conn, owner string) (*Tunnels, error) {
	t := &Tunnels{owner: owner, at: ns, conn: conn, sockets: map[int]*nl.SocketHandle{}, led: map[string]int{}}
	var err error
	if t.handle, err = vnl.NewHandleAt(ns, unix.NETLINK_ROUTE, unix.NETLINK_GENERIC); err != nil {
		t.Close()
		return nil, fmt.Errorf("ktunnel: open: %w", err)
	}
	for _, protocol := range []int{unix.NETLINK_ROUTE, unix.NETLINK_GENERIC} {
		socket, err := nl.GetNetlinkSocketAt(ns, netns.None(), protocol)
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("ktunnel: open: %w", err)
		}
		_ = socket.SetExtAck(true) // the kernel's reasons; an old one refuses and lives
		t.sockets[protocol] = &nl.SocketHandle{Socket: socket}
	}
	return t, nil
}

// Close closes the sockets. Tunnels stay.
func (t *Tunnels) Close() {
	t.conn.Close()
	if t.handle != nil {
		t.handle.Close()
	}
	for _, s := range t.sockets {
		s.Close()
	}
}

// Add makes a tunnel, in place of ours with that name if there is one, and sets it up. It
// is there whole, or not at all: ErrSpec, ErrForeign and ErrUnsupported change nothing.
func (t *Tunnels) Add(s Spec) error {
	if err := s.check(t.owner); err != nil {
		return err
	}
	if s.Kind == FOU {
		if err := t.needFOU(s.Local.Addr()); err != nil {
			return err
		}
	}
	if err := t.Remove(s.Name); err != nil {
		return err
	}
	req := s.newLink()
	req.Sockets = t.sockets
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: links of type %s", ErrUnsupported, s.linkKind())
	} else if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("ktunnel: %v: %w: another link has these addresses and this key", &s, err)
	} else if err != nil {
		return fmt.Errorf("ktunnel: %v: %w", &s, err)
	}
	if err := t.configure(&s); err != nil {
		return errors.Join(fmt.Errorf("ktunnel: %v: %w", &s, err), t.Remove(s.Name))
	}
	return nil
}

// configure marks the link, and makes of it what s says.
func (t *Tunnels) configure(s *Spec) error {
	link, err := t.handle.LinkByName(s.Name)
	if err != nil {
		return err
	}
	if err := t.handle.LinkSetAlias(link, t.mark()); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	// After the mark, by which a sweep finds the port too.
	switch s.Kind {
	case GRE, ktunnel.OpenVPNUDP, ktunnel.OpenVPNTCP: // the link says all; OpenVPN is refused before
	case FOU:
		err = t.generic(fouFamily, ports{s.Local, s.Remote}.message(fouAdd))
	case WireGuard:
		err = t.generic(wireguardFamily, s.wireguard())
	}
	if err == nil {
		err = t.shut(s.Name, s.Trust)
	}
	if err == nil && s.filtered() {
		err = t.admit(link.Attrs().Index, s.admitted())
	}
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	if err := t.handle.LinkSetMulticastOn(link); err != nil { // Babel's Hellos
		return fmt.Errorf("multicast on: %w", err)
	}
	return t.setUp(s.Name, s.LinkLocal)
}

// setUp is the last that a link needs: its address, and that it is up.
func (t *Tunnels) setUp(name string, inside netip.Addr) error {
	if err := t.conn.SetAddrGenMode(name, netlink.AddrGenNone); err != nil {
		return err
	}
	if err := t.ignoreRouters(name); err != nil {
		return err
	}
	if err := t.conn.SetAddress(name, netip.PrefixFrom(inside, 64), false); err != nil {
		return err
	}
	return t.conn.SetUp(name, true)
}

// ignoreRouters has the kernel believe no router advertisement that comes by a link, as it would
// by a new one of a host that does by its others (netlink.Forward): else whoever sends into a
// tunnel could make himself the default router of this host.
func (t *Tunnels) ignoreRouters(name string) error {
	write := func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_ra", []byte("0"), 0)
	}
	err := error(nil)
	if t.at.IsOpen() {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // for ever: the thread ends with its goroutine
			err := netns.Set(t.at)
			if err == nil {
				err = write()
			}
			done <- err
		}()
		err = <-done
	} else {
		err = write()
	}
	if err != nil {
		return fmt.Errorf("%w: it would believe router advertisements that come by the tunnel: %w", ErrUnsupported, err)
	}
	return nil
}

// shut has nothing that comes by a link passed on: the link's own datagrams end here, and
// what else somebody sends into a tunnel did not come by the mesh, but for what is trusted.
func (t *Tunnels) shut(name string, but Trust) error {
	var err error
	if but != (Trust{}) {
		err = t.conn.PassOn(name, but.Peer, but.Own)
	}
	if err == nil {
		err = t.conn.Shut(name)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: rules of routing (CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES): %w", ErrUnsupported, err)
	}
	return err
}

// Remove removes a tunnel of ours; one that is not there is no error.
func (t *Tunnels) Remove(name string) error {
	link, err := t.handle.LinkByName(name)
	var missing vnl.LinkNotFoundError
	if errors.As(err, &missing) {
		return t.conn.Unshut(name)
	}
	if err != nil {
		return fmt.Errorf("ktunnel: link %s: %w", name, err)
	}
	if !t.owns(link) {
		return fmt.Errorf("%w: %s, of type %s", ErrForeign, name, link.Type())
	}
	return t.remove(link)
}

func (t *Tunnels) remove(link vnl.Link) error {
	name := link.Attrs().Name
	delete(t.led, name) // the route goes with the link
	// The port first: without its link nobody knows whose it is.
	if p, ok := portsOf(link); ok {
		err := t.generic(fouFamily, p.message(fouDel))
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, ErrUnsupported) {
			return fmt.Errorf("ktunnel: %s: remove its UDP port: %w", name, err)
		}
	}
	if err := t.handle.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("ktunnel: remove %s: %w", name, err)
	}
	return t.conn.Unshut(name) // after the link, which so was never open
}

// List returns the names of our tunnels, sorted.
func (t *Tunnels) List() ([]string, error) {
	links, err := t.list()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	slices.Sort(names)
	return names, nil
}

// list are our links. A dump that changed meanwhile is taken again.
func (t *Tunnels) list() ([]vnl.Link, error) {
	const tries = 100
	links, err := t.handle.LinkList()
	for range tries {
		if !errors.Is(err, vnl.ErrDumpInterrupted) {
			break
		}
		links, err = t.handle.LinkList()
	}
	if err != nil {
		return nil, fmt.Errorf("ktunnel: list links: %w", err)
	}
	return slices.DeleteFunc(links, func(l vnl.Link) bool { return !t.owns(l) }), nil
}

// Sweep removes our tunnels but for those to be kept, such as those of an earlier process,
// and returns their names, sorted.
func (t *Tunnels) Sweep(keep ...string) ([]string, error) {
	links, err := t.list()
	if err != nil {
		return nil, err
	}
	var swept []string
	var errs []error
	for _, l := range links {
		name := l.Attrs().Name
		if slices.Contains(keep, name) {
			continue
		}
		if err := t.remove(l); err != nil {
			errs = append(errs, err)
			continue
		}
		swept = append(swept, name)
	}
	slices.Sort(swept)
	errs = append(errs, t.conn.UnshutAll(t.owner+"-", keep...)) // of links that somebody else removed
	return swept, errors.Join(errs...)
}

func (t *Tunnels) mark() string { return markText + t.owner }

// owns tells our links: those that carry the mark, and those that were not marked yet when
// their process ended.
func (t *Tunnels) owns(l vnl.Link) bool {
	a := l.Attrs()
	if a.Alias != "" {
		return a.Alias == t.mark()
	}
	kinds := []string{"gre", "ip6gre", "wireguard"}
	return a.Group == netlink.TunnelGroup && a.RawFlags&unix.IFF_UP == 0 &&
		strings.HasPrefix(a.Name, t.owner+"-") && slices.Contains(kinds, l.Type())
}
