package tun

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// openQueues opens a device in the namespace that the caller is in, and has addresses of both
// families lead there.
func openQueues(t *testing.T, count int) ([]Device, error) {
	t.Helper()
	all, err := OpenQueues(Config{Name: "mesh"}, count)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		for _, d := range all {
			_ = d.Close()
		}
	})
	for _, c := range []string{"-6 addr add 2001:db8::1/64 dev mesh nodad", "addr add 192.0.2.1/24 dev mesh"} {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			return nil, errors.New(string(out))
		}
	}
	return all, nil
}

// flowKey is where a datagram to a test's address goes.
type flowKey struct {
	six  bool
	port uint16
}

// takeFlows reads count datagrams for the ports from 1000 on, and tells by which queues they
// came; answer has each answered by the queue that is next to that.
func takeFlows(t *testing.T, all []Device, count int, answer bool) map[flowKey]int {
	t.Helper()
	came := map[flowKey]int{}
	buf := make([]byte, 2000)
	for end := time.Now().Add(10 * time.Second); count > 0; {
		for i, d := range all {
			n, _, err := d.Read(buf, false)
			for ; err == nil; n, _, err = d.Read(buf, false) {
				six, at := buf[0]>>4 == 6, ipv4HeaderLen
				if six {
					at = ipv6HeaderLen
				}
				port := binary.BigEndian.Uint16(buf[at+2:])
				if port < 1000 || six && buf[6] != protocolUDP { // the kernel reports its groups
					continue
				}
				count--
				if before, ok := came[flowKey{six, port}]; ok && before != i {
					t.Errorf("six %v, port %d: by queue %d, and by %d", six, port, before, i)
				}
				came[flowKey{six, port}] = i
				if answer {
					if _, err := all[(i+1)%len(all)].Write(turned(buf[:n], six, at)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !errors.Is(err, ErrNothing) {
				t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%d datagrams did not come", count)
		}
	}
	return came
}

// turned is a packet with its ends exchanged; its checksums do not mind.
func turned(p []byte, six bool, at int) []byte {
	from, size := 12, 4
	if six {
		from, size = 8, 16
	}
	b := append([]byte(nil), p...)
	copy(b[from:], p[from+size:from+2*size])
	copy(b[from+size:], p[from:from+size])
	copy(b[at:], p[at+2:at+4])
	copy(b[at+2:], p[at:at+2])
	return b
}

// TestAFlowComesByOneQueueWhicheverIsWrittenTo has flows answered by the wrong queue.
func TestAFlowComesByOneQueueWhicheverIsWrittenTo(t *testing.T) {
	const flows = 64
	var all []Device
	var conn *net.UDPConn
	inNamespace(t, func() (err error) {
		if all, err = openQueues(t, 4); err != nil {
			return err
		}
		conn, err = net.ListenUDP("udp", nil)
		return err
	})
	defer conn.Close()
	send := func() {
		for i := range flows {
			for _, to := range []string{"2001:db8::2", "192.0.2.2"} {
				if _, err := conn.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(netip.MustParseAddr(to), uint16(1000+i))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	send()
	first := takeFlows(t, all, 2*flows, true)
	send()
	second := takeFlows(t, all, 2*flows, true)
	used := map[int]bool{}
	moved := 0
	for f, q := range first {
		used[q] = true
		if second[f] != q {
			moved++
		}
	}
	if len(used) != len(all) || moved > 0 {
		t.Errorf("%d queues of %d were used, %d of %d flows moved", len(used), len(all), moved, 2*flows)
	}
}

func TestADeviceIsOneProgramsHoweverManyQueuesItHas(t *testing.T) {
	for _, first := range []int{1, 2} {
		inNamespace(t, func() error {
			if _, err := openQueues(t, first); err != nil {
				return err
			}
			for _, second := range []int{1, 2} {
				if _, err := OpenQueues(Config{Name: "mesh"}, second); err == nil || !strings.Contains(err.Error(), "another program has it") {
					t.Errorf("a device of %d queues, for one who wants %d: %v", first, second, err)
				}
			}
			return nil
		})
	}
}

// TestAPersistentDeviceIsTakenAsItIs has somebody make it beforehand.
func TestAPersistentDeviceIsTakenAsItIs(t *testing.T) {
	inNamespace(t, func() error {
		if out, err := exec.Command("ip", "tuntap", "add", "mesh", "mode", "tun", "vnet_hdr").CombinedOutput(); err != nil {
			return errors.New(string(out))
		}
		if all, err := openQueues(t, 2); err != nil || len(all) != 1 {
			t.Errorf("%d queues, %v", len(all), err)
		}
		return nil
	})
}

func TestAnotherUserGetsNoQueue(t *testing.T) {
	const nobody, none = 65534, ^uintptr(0)
	inNamespace(t, func() error {
		if _, err := openQueues(t, 2); err != nil {
			return err
		}
		become := func(euid uintptr) error { // this thread alone
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, none, euid, none); errno != 0 {
				return errno
			}
			return nil
		}
		fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0) // on most machines all may
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		request, err := unix.NewIfreq("mesh")
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE)
		if err := become(nobody); err != nil {
			return err
		}
		got := unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		if err := become(0); err != nil {
			return err
		}
		if !errors.Is(got, unix.EPERM) {
			t.Errorf("another user asks for a queue: %v", got)
		}
		return nil
	})
}

func TestEachQueueIsClosedByItself(t *testing.T) {
	inNamespace(t, func() error {
		all, err := OpenQueues(Config{Name: "mesh"}, 3)
		if err != nil {
			return err
		}
		for i, d := range all {
			done := make(chan error)
			go func() {
				var err error
				for buf := make([]byte, 2000); err == nil; {
					_, _, err = d.Read(buf, true)
				}
				done <- err
			}()
			if _, err := netlink.LinkByName("mesh"); err != nil {
				t.Errorf("%d queues are closed: %v", i, err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; !errors.Is(err, os.ErrClosed) {
				t.Errorf("reader of queue %d: %v", i, err)
			}
		}
		if _, err := netlink.LinkByName("mesh"); err == nil {
			t.Error("the device is still there")
		}
		return nil
	})
}

func TestBothWaysOfAFlowHaveOnePlace(t *testing.T) {
	places := map[uint32]bool{}
	for _, six := range []bool{true, false} {
		for _, kind := range []Kind{KindTCP, KindUDP} {
			for port := range uint16(50) {
				p := made(six, kind, 1, 2, tcpACK, []byte("x"))
				at := ipv4HeaderLen
				if six {
					at = ipv6HeaderLen
				}
				binary.BigEndian.PutUint16(p[at:], port)
				if placeOf(p) != placeOf(turned(p, six, at)) {
					t.Errorf("six %v, kind %d: two places", six, kind)
				}
				places[placeOf(p)] = true
			}
		}
	}
	if len(places) < 150 {
		t.Errorf("200 flows have %d places", len(places))
	}
	if n := testing.AllocsPerRun(100, func() { placeOf(nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzPlaceOf(f *testing.F) {
	f.Add(made(true, KindTCP, 1, 2, tcpACK, nil))
	f.Add(made(false, KindUDP, 1, 2, 0, []byte("x")))
	f.Fuzz(func(t *testing.T, p []byte) {
		if place := placeOf(p); place >= flowPlaces {
			t.Fatal(place)
		}
	})
}
