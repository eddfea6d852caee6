package tun

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// device is a TUN of the kernel, whose packets have a virtio header before them.
type device struct {
	file    *os.File
	raw     syscall.RawConn
	name    string
	mtu     int
	support Support
	closed  atomic.Bool

	in  vector // of the one reader
	out sync.Pool
}

// vector is what goes through one system call: readv or writev of the header and what is
// behind it. It is kept, so that nothing is allocated.
type vector struct {
	header [vnetLen]byte
	iov    [1 + MaxJoined]unix.Iovec
	parts  int
	wait   bool // until the device is ready
	n      int
	errno  unix.Errno
	call   func(fd uintptr) bool
}

func (v *vector) init(trap uintptr) {
	v.call = func(fd uintptr) bool {
		for {
			// The device never blocks, so the call is raw: see hw/sock.
			n, _, errno := unix.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&v.iov[0])), uintptr(v.parts))
			if v.n, v.errno = int(n), errno; errno != unix.EINTR {
				return errno != unix.EAGAIN || !v.wait
			}
		}
	}
}

func (v *vector) begin(wait bool) {
	v.wait, v.parts = wait, 0
	v.add(v.header[:])
}

func (v *vector) add(b []byte) {
	v.iov[v.parts].Base = unsafe.SliceData(b)
	v.iov[v.parts].SetLen(len(b))
	v.parts++
}

// result is what the call moved behind the header.
func (v *vector) result(d *device, err error) (int, error) {
	clear(v.iov[:v.parts])
	switch {
	case d.closed.Load():
		return 0, os.ErrClosed
	case err != nil:
		return 0, fmt.Errorf("tun: %s: %w", d.name, d.cause(err))
	case v.errno == unix.EAGAIN && !v.wait:
		return 0, ErrNothing
	case v.errno != 0:
		return 0, fmt.Errorf("tun: %s: %w", d.name, v.errno)
	}
	return v.n - vnetLen, nil
}

// cause asks the kernel, where Go's poller has heard of an error of the device before a
// call could tell which.
func (d *device) cause(err error) error {
	_ = d.raw.Control(func(fd uintptr) {
		ifr, _ := unix.NewIfreq("")
		if errno := unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr); errno != nil {
			err = errno
		}
	})
	return err
}

// ErrNothing is what Read returns where the kernel has no packet and was not to be waited for.
var ErrNothing = errors.New("no packet now")

func newDevice(fd int, name string, mtu int, s Support) (*device, error) {
	d := &device{file: os.NewFile(uintptr(fd), devicePath), name: name, mtu: mtu, support: s}
	d.in.init(unix.SYS_READV)
	d.out.New = func() any {
		v := new(vector)
		v.init(unix.SYS_WRITEV)
		return v
	}
	var err error
	if d.raw, err = d.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, d.file.Close())
	}
	return d, nil
}

func (d *device) Read(packet []byte, wait bool) (int, Offload, error) {
	v := &d.in
	v.begin(wait)
	v.add(packet)
	n, err := v.result(d, d.raw.Read(v.call))
	if err != nil {
		return 0, Offload{}, err
	}
	if n < 0 {
		return 0, Offload{}, fmt.Errorf("tun: %s: %w: no header", d.name, ErrOffload)
	}
	return n, parseVNet(&v.header), nil
}

func (d *device) Write(packet []byte) (int, error) {
	v := d.out.Get().(*vector)
	defer d.out.Put(v)
	v.header = [vnetLen]byte{}
	v.begin(true)
	v.add(packet)
	return v.result(d, d.raw.Write(v.call))
}

func (d *device) WriteSuper(o Offload, headers int, packets [][]byte) error {
	v := d.out.Get().(*vector)
	defer d.out.Put(v)
	putVNet(&v.header, o, packets[0][0]>>4 == 6, headers)
	v.begin(true)
	v.add(packets[0])
	for _, p := range packets[1:] {
		v.add(p[headers:])
	}
	_, err := v.result(d, d.raw.Write(v.call))
	return err
}

func (d *device) Name() string     { return d.name }
func (d *device) MTU() int         { return d.mtu }
func (d *device) Support() Support { return d.support }

func (d *device) Close() error {
	d.closed.Store(true)
	return d.file.Close()
}
