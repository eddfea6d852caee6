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

// Device is a TUN, or a test's stand-in for it.
type Device interface {
	// Read waits for a packet from the kernel. It fails for good with os.ErrClosed
	// after Close, and with EBADFD where somebody deleted the device.
	Read(packet []byte) (int, error)
	// Write gives the kernel a packet. An error is about that packet, unless it is
	// os.ErrClosed.
	Write(packet []byte) (int, error)
	Name() string
	// MTU is the longest packet that Read gives, in bytes.
	MTU() int
	Close() error
}

// Config tells how to make a device.
type Config struct {
	// Name is at most 15 bytes; with %d in it the kernel numbers the device.
	Name string
	// MTU is 1280 or more, in bytes; 0 is DefaultMTU.
	MTU int
	// Faults are calls that fail on purpose; nil: none.
	Faults *fault.Table
}

type device struct {
	file *os.File
	name string
	mtu  int
}

const devicePath = "/dev/net/tun"

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1

// Open makes a device, up, without addresses. It fails with ErrMTU or with what
// the kernel said.
func Open(c Config) (Device, error) {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < MinMTU || c.MTU > 65535 {
		return nil, fmt.Errorf("tun: %s: %w %d: want %d to 65535", c.Name, ErrMTU, c.MTU, MinMTU)
	}
	request, err := unix.NewIfreq(c.Name)
	if err != nil {
		return nil, fmt.Errorf("tun: name %q of more than %d bytes: %w", c.Name, unix.IFNAMSIZ-1, err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("tun: open %s: %w", devicePath, err)
	}
	// Before os.NewFile: polling the file without a device behind it gives an error.
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		if errors.Is(err, unix.EBUSY) {
			err = fmt.Errorf("%w: another program has it; take another name", err)
		}
		return nil, errors.Join(fmt.Errorf("tun: make %s: %w", c.Name, err), unix.Close(fd))
	}
	d := &device{file: os.NewFile(uintptr(fd), devicePath), name: request.Name(), mtu: c.MTU}
	if err := d.setUp(); err != nil {
		return nil, errors.Join(err, d.file.Close())
	}
	return WithFaults(d, c.Faults), nil
}

func (d *device) setUp() error {
	link, err := netlink.LinkByName(d.name)
	if err != nil {
		return fmt.Errorf("tun: find %s: %w", d.name, err)
	}
	if err := netlink.LinkSetMTU(link, d.mtu); err != nil {
		return fmt.Errorf("tun: set the MTU of %s to %d: %w", d.name, d.mtu, err)
	}
	if err := netlink.LinkSetIP6AddrGenMode(link, addrGenModeNone); err != nil {
		return fmt.Errorf("tun: keep link-local addresses off %s: %w", d.name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("tun: set %s up: %w", d.name, err)
	}
	return nil
}

func (d *device) Read(packet []byte) (int, error)  { return d.file.Read(packet) }
func (d *device) Write(packet []byte) (int, error) { return d.file.Write(packet) }
func (d *device) Name() string                     { return d.name }
func (d *device) MTU() int                         { return d.mtu }
func (d *device) Close() error                     { return d.file.Close() }
