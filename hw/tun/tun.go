package tun

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// DefaultMTU is what the fabric leaves of 1500 bytes of IPv6, see
// fabric.Overhead.
const DefaultMTU = 1380

// MinMTU is the least that IPv6 works with (RFC 8200 section 5).
const MinMTU = 1280

// ErrMTU is what Open returns, wrapped, for an MTU that IPv6 cannot use.
var ErrMTU = errors.New("bad MTU")

// ErrQueues is what OpenQueues returns, wrapped, for a number of queues that is not to be had.
var ErrQueues = errors.New("bad number of queues")

// Device is a TUN, or one of its queues, or a test's stand-in for it.
type Device interface {
	// Read takes a packet of the kernel, of MTU bytes at most, or a super-packet of SuperRoom
	// bytes at most, which a Cutter cuts. It waits for one, or fails with ErrNothing. It
	// fails for good with os.ErrClosed after Close, and with EBADFD where somebody deleted
	// the device.
	Read(packet []byte, wait bool) (int, Offload, error)
	// Write gives the kernel a packet. An error is about that packet, unless it is
	// os.ErrClosed.
	Write(packet []byte) (int, error)
	// WriteSuper gives the kernel a super-packet: the first packet, with its headers, and of
	// the others what is behind that many bytes of headers; MaxJoined at most.
	WriteSuper(o Offload, headers int, packets [][]byte) error
	// Support is which super-packets the device gives and takes.
	Support() Support
	Name() string
	// MTU is the longest packet, in bytes.
	MTU() int
	Close() error
}

// Config tells how to make a device.
type Config struct {
	// Name is at most 15 bytes; with %d in it the kernel numbers the device.
	Name string
	// MTU is 1280 or more, in bytes; 0 is DefaultMTU.
	MTU int
	// Segments is how many packets a super-packet of the kernel stands for at most; 0: as
	// many as it likes.
	Segments int
	// Plain keeps super-packets away, in both directions.
	Plain bool
	// Faults are calls that fail on purpose; nil: none.
	Faults *fault.Table
}

const devicePath = "/dev/net/tun"

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1

// Open makes a device of one queue, up, without addresses. It fails with ErrMTU or with what
// the kernel said.
func Open(c Config) (Device, error) {
	all, err := OpenQueues(c, 1)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// OpenQueues is Open for a device of so many queues, 1 to MaxQueues: see Spread. Of a
// persistent one that somebody made before it is given one queue. It fails with ErrQueues too.
func OpenQueues(c Config, count int) ([]Device, error) {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < MinMTU || c.MTU > 65535 {
		return nil, fmt.Errorf("tun: %s: %w %d: want %d to 65535", c.Name, ErrMTU, c.MTU, MinMTU)
	}
	if count < 1 || count > MaxQueues {
		return nil, fmt.Errorf("tun: %s: %w: %d; want 1 to %d", c.Name, ErrQueues, count, MaxQueues)
	}
	queues, err := attachAll(c, count)
	if err == nil {
		err = queues[0].setUp(c.Segments, len(queues))
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(queues))
	}
	all := make([]Device, len(queues))
	for i, d := range queues {
		all[i] = WithFaults(d, c.Faults)
	}
	return Spread(all), nil
}

// attachAll makes a device and attaches to all of its queues; what it returns is to be closed.
func attachAll(c Config, count int) (queues []*device, err error) {
	const one = unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	flags := uint16(one)
	if count > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	only := flags
	if count > 1 {
		only |= unix.IFF_TUN_EXCL // else it would share the device of another program
	}
	fd, name, err := attach(c.Name, only)
	if count > 1 && errors.Is(err, unix.EBUSY) {
		count = 1
		fd, name, err = attach(c.Name, one)
	}
	if err != nil {
		return nil, err
	}
	var support Support
	if !c.Plain {
		support = askSupport(fd)
	}
	first, err := newDevice(fd, name, c.MTU, support)
	if err != nil {
		return nil, err
	}
	queues = append(queues, first)
	if count > 1 {
		// Without an owner any user of the machine may attach to a queue.
		if err := unix.IoctlSetInt(fd, unix.TUNSETOWNER, os.Geteuid()); err != nil {
			return queues, fmt.Errorf("tun: own %s: %w", name, err)
		}
	}
	for len(queues) < count {
		if fd, _, err = attach(name, flags); err != nil {
			return queues, fmt.Errorf("%w; this was for one of %d queues", err, count)
		}
		d, err := newDevice(fd, name, c.MTU, support)
		if err != nil {
			return queues, err
		}
		queues = append(queues, d)
	}
	return queues, nil
}

func closeAll(queues []*device) (err error) {
	for _, d := range queues {
		err = errors.Join(err, d.Close())
	}
	return err
}

// attach has the kernel make a device, or one more queue of it.
func attach(name string, flags uint16) (fd int, given string, err error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, "", fmt.Errorf("tun: name %q of more than %d bytes: %w", name, unix.IFNAMSIZ-1, err)
	}
	request.SetUint16(flags)
	fd, err = unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, "", fmt.Errorf("tun: open %s: %w", devicePath, err)
	}
	// Before os.NewFile: polling the file without a device behind it gives an error.
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		switch {
		case errors.Is(err, unix.EBUSY):
			err = fmt.Errorf("%w: another program has it; take another name", err)
		case errors.Is(err, unix.EINVAL):
			err = fmt.Errorf("%w: another program has it with another number of queues, or it is no TUN; take another name", err)
		}
		return 0, "", errors.Join(fmt.Errorf("tun: make %s: %w", name, err), unix.Close(fd))
	}
	return fd, request.Name(), nil
}

// askSupport has the kernel leave to us what it can, and tells what that is.
func askSupport(fd int) Support {
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	switch {
	case unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp|unix.TUN_F_USO4|unix.TUN_F_USO6) == nil:
		return Support{TCP: true, UDP: true}
	case unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp) == nil:
		return Support{TCP: true}
	}
	return Support{}
}

func (d *device) setUp(segments, queues int) error {
	link, err := netlink.LinkByName(d.name)
	if err != nil {
		return fmt.Errorf("tun: find %s: %w", d.name, err)
	}
	// Older kernels tell none.
	if t, ok := link.(*netlink.Tuntap); ok && queues > 1 && t.Queues > 0 && t.Queues+t.DisabledQueues != queues {
		return fmt.Errorf("tun: %s: %w: it has %d, and %d were made: another program was quicker than its owner was set", d.name, ErrQueues, t.Queues+t.DisabledQueues, queues)
	}
	if err := netlink.LinkSetMTU(link, d.mtu); err != nil {
		return fmt.Errorf("tun: set the MTU of %s to %d: %w", d.name, d.mtu, err)
	}
	if err := netlink.LinkSetIP6AddrGenMode(link, addrGenModeNone); err != nil {
		return fmt.Errorf("tun: keep link-local addresses off %s: %w", d.name, err)
	}
	if segments > 0 && d.support.TCP {
		if err := netlink.LinkSetGSOMaxSegs(link, segments); err != nil {
			return fmt.Errorf("tun: have %s hand over %d packets at once: %w", d.name, segments, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("tun: set %s up: %w", d.name, err)
	}
	return nil
}
