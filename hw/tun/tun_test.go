package tun

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
	"re6st/hw/netns/netnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inNamespace runs f in a network namespace of its own.
func inNamespace(t *testing.T, f func() error) {
	t.Helper()
	if _, err := os.Stat(devicePath); err != nil {
		t.Skipf("no TUN driver: %v", err)
	}
	g := netnstest.NewGroup(t)
	ns, err := g.Create("tun")
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

func TestPacketsPassBothWays(t *testing.T) {
	var d Device
	var conn net.PacketConn
	inNamespace(t, func() (err error) {
		if d, err = Open(Config{Name: "mesh%d", MTU: 1300}); err != nil {
			return err
		}
		link, err := netlink.LinkByName(d.Name())
		if err != nil {
			return err
		}
		if d.Name() != "mesh0" || link.Attrs().MTU != 1300 || d.MTU() != 1300 || link.Attrs().Flags&net.FlagUp == 0 {
			t.Errorf("%s: %+v", d.Name(), link.Attrs())
		}
		if addrs, err := netlink.AddrList(link, netlink.FAMILY_V6); err != nil || len(addrs) != 0 {
			t.Errorf("addresses nobody asked for: %v, %v", addrs, err)
		}
		address, err := netlink.ParseAddr("2001:db8::1/64")
		if err != nil {
			return err
		}
		address.Flags = unix.IFA_F_NODAD // usable at once
		if err := netlink.AddrAdd(link, address); err != nil {
			return err
		}
		conn, err = net.ListenPacket("udp6", "[2001:db8::1]:7")
		return err
	})
	defer conn.Close()
	defer d.Close()
	if _, err := conn.WriteTo([]byte("out"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::2]:9"))); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, d.MTU())
	n, o, err := d.Read(buf, true)
	for err == nil && buf[6] != 17 { // the kernel reports its multicast groups first
		n, o, err = d.Read(buf, true)
	}
	if err != nil || buf[0]>>4 != 6 || string(buf[48:n]) != "out" {
		t.Fatalf("% x, %v", buf[:n], err)
	}
	// The packet itself, turned round, is valid: the sum does not mind the order.
	var c Cutter
	if err := c.Take(buf[:n], o); err != nil || c.Next() != n {
		t.Fatalf("%d bytes of %d, %v", c.Next(), n, err)
	}
	packet := make([]byte, n)
	c.Cut(packet)
	copy(packet[8:24], buf[24:40])
	copy(packet[24:40], buf[8:24])
	binary.BigEndian.PutUint16(packet[40:], 9)
	binary.BigEndian.PutUint16(packet[42:], 7)
	got, from := "", net.Addr(nil)
	for got == "" { // the kernel installs the local route of a new address in its own time
		if _, err := d.Write(packet); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, f, err := conn.ReadFrom(buf)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		got, from = string(buf[:n]), f
	}
	if got != "out" || from.String() != "[2001:db8::2]:9" {
		t.Errorf("%q from %v", got, from)
	}
	if _, err := d.Write(make([]byte, 12)); err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("junk: %v", err)
	}
	if _, err := d.Write(packet); err != nil {
		t.Errorf("after junk: %v", err)
	}
}

func TestCloseUnblocksTheReaderAndRemovesTheDevice(t *testing.T) {
	inNamespace(t, func() error {
		d, err := Open(Config{Name: "mesh"})
		if err != nil {
			return err
		}
		if d.MTU() != DefaultMTU {
			t.Errorf("MTU %d", d.MTU())
		}
		if _, err := Open(Config{Name: "mesh"}); err == nil {
			t.Error("two devices of one name")
		}
		done := make(chan error)
		go func() {
			var err error
			for buf := make([]byte, 2000); err == nil; {
				_, _, err = d.Read(buf, true)
			}
			done <- err
		}()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, os.ErrClosed) {
			t.Errorf("reader: %v", err)
		}
		if _, err := d.Write(make([]byte, 40)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("writer: %v", err)
		}
		if _, err := netlink.LinkByName("mesh"); err == nil {
			t.Error("the device is still there")
		}
		return nil
	})
}

func TestADeletedDeviceIsToldFromOneThatIsDown(t *testing.T) {
	inNamespace(t, func() error {
		d, err := Open(Config{Name: "mesh"})
		if err != nil {
			return err
		}
		defer d.Close()
		link, err := netlink.LinkByName("mesh")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(link); err != nil {
			return err
		}
		packet := make([]byte, 40)
		packet[0] = 0x60
		if _, err := d.Write(packet); !errors.Is(err, unix.EIO) {
			t.Errorf("a write while it is down: %v", err)
		}
		done := make(chan error)
		go func() {
			var err error
			for buf := make([]byte, 2000); err == nil; { // the kernel may have said something before
				_, _, err = d.Read(buf, true)
			}
			done <- err
		}()
		if err := netlink.LinkDel(link); err != nil {
			return err
		}
		if err := <-done; !errors.Is(err, unix.EBADFD) && !errors.Is(err, unix.EFAULT) {
			t.Errorf("a read of the deleted one: %v", err)
		}
		if _, err := d.Write(packet); !errors.Is(err, unix.EBADFD) {
			t.Errorf("a write: %v", err)
		}
		return nil
	})
}

func TestCallsFailOnPurpose(t *testing.T) {
	inNamespace(t, func() error {
		table := fault.New(time.Now)
		d, err := Open(Config{Name: "mesh", Faults: table})
		if err != nil {
			return err
		}
		defer d.Close()
		packet := make([]byte, 40)
		packet[0] = 0x60
		for call, errno := range map[fault.Call]syscall.Errno{fault.TUNRead: unix.ENOMEM, fault.TUNWrite: unix.EIO} {
			if err := table.Fail(fault.Rule{Call: call, Errno: errno, Count: 1}); err != nil {
				return err
			}
		}
		if _, _, err := d.Read(packet, true); !errors.Is(err, unix.ENOMEM) {
			t.Errorf("read: %v", err)
		}
		if _, err := d.Write(packet); !errors.Is(err, unix.EIO) {
			t.Errorf("write: %v", err)
		}
		if _, err := d.Write(packet); err != nil {
			t.Errorf("the next write: %v", err)
		}
		return nil
	})
}

func TestBadConfigurationsAreNamed(t *testing.T) {
	for _, mtu := range []int{-1, 1, 1279, 65536} {
		if _, err := Open(Config{Name: "mesh", MTU: mtu}); !errors.Is(err, ErrMTU) {
			t.Errorf("MTU %d: %v", mtu, err)
		}
	}
	for _, count := range []int{-1, 0, MaxQueues + 1} {
		if _, err := OpenQueues(Config{Name: "mesh"}, count); !errors.Is(err, ErrQueues) {
			t.Errorf("%d queues: %v", count, err)
		}
	}
	if _, err := Open(Config{Name: strings.Repeat("x", 16)}); err == nil {
		t.Error("a name of 16 bytes")
	}
}
