package netlink

import (
	"cmp"
	"fmt"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// dumpTries is how often an interrupted dump is taken again before it is an error.
const dumpTries = 100

// Conn is a route socket in one network namespace. It stays in that namespace
// whatever thread uses it. Not for concurrent use.
type Conn struct {
	ns      netns.NsHandle // none: the namespace of the process
	handle  *vnl.Handle
	sockets map[int]*nl.SocketHandle // for the requests that vishvananda/netlink has not
	faults  *fault.Table
}

// SetFaults has some calls fail on purpose: those of this Conn, of its Tables and of
// its Watch. Call it before them.
func (c *Conn) SetFaults(t *fault.Table) { c.faults = t }

// Open opens a socket in the namespace of the process.
func Open() (*Conn, error) { return open(netns.None()) }

// OpenAt opens a socket in the namespace that fd refers to. The Conn keeps the
// number for Watch: fd stays open, and the caller's, as long as the Conn lives.
func OpenAt(fd int) (*Conn, error) { return open(netns.NsHandle(fd)) }

func open(ns netns.NsHandle) (*Conn, error) {
	handle, err := vnl.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: open: %w", err)
	}
	socket, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("netlink: open: %w", err)
	}
	// Without it the kernel answers EINVAL and keeps the reason to itself; an old kernel refuses the option and lives.
	_ = socket.SetExtAck(true)
	return &Conn{ns: ns, handle: handle, sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}}, nil
}

// Close closes the sockets. Kernel state stays.
func (c *Conn) Close() {
	c.handle.Close()
	c.sockets[unix.NETLINK_ROUTE].Close()
}

// request makes a message of the given type for Execute.
func (c *Conn) request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = c.sockets
	return req
}

// dump repeats take while the kernel says that its table changed meanwhile.
func dump[T any](take func() (T, error)) (T, error) {
	var value T
	var err error
	for range dumpTries {
		if value, err = take(); err == nil || !isInterrupted(err) {
			break
		}
	}
	return value, err
}

// dumpInto executes a dump and hands over each message of the given type, until one
// cannot be decoded.
func (c *Conn) dumpInto(req *nl.NetlinkRequest, kind uint16, decode func([]byte) error) error {
	var bad error
	err := req.ExecuteIter(unix.NETLINK_ROUTE, kind, func(b []byte) bool {
		bad = decode(b)
		return bad == nil
	})
	return cmp.Or(bad, err)
}
