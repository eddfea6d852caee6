package lab

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"re6st/actors/monitor"
	"re6st/hw/netlink"
	"re6st/protocols/addr"
)

// The lab runs its own binary, which in a test is the test's. With stubEnv it is not
// tests that run but a re6st small enough for this file: a registry that numbers the
// nodes, and nodes that flood every packet of their TUN to all others.
const stubEnv = "RE6ST_LAB_TEST_STUB"

// Of the stub's mesh.
const (
	stubPort  = 6400
	stubNodes = 6 // the most that a test has
)

func TestMain(m *testing.M) {
	if os.Getenv(stubEnv) == "" || slices.Contains(os.Args, "-test.fuzzworker") {
		os.Setenv(stubEnv, "1")
		os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // or each process under it takes a second to end
		goleak.VerifyTestMain(m)
	}
	err := stub(os.Args[1:])
	var exit interface{ ExitCode() int }
	switch {
	case errors.As(err, &exit):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func stub(args []string) error {
	if args[0] == "lab" {
		cmd := Command()
		cmd.SetArgs(args[1:])
		return cmd.ExecuteContext(context.Background())
	}
	var positional []string
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		positional, args = append(positional, args[0]), args[1:]
	}
	flags := flag.NewFlagSet("stub", flag.ContinueOnError)
	dir, network := flags.String("d", "", ""), flags.String("network", "", "")
	listen, advertise := flags.String("listen", "", ""), flags.String("advertise", "", "")
	tokens, config := flags.Int("n", 0, ""), flags.String("config", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch command := positional[0]; command {
	case "join":
		return stubJoin(positional[1], *dir)
	case "node":
		return stubNode(*dir, *config)
	default:
		return stubRegistry(positional[1], *dir, *network, *listen, *advertise, *tokens)
	}
}

func stubRegistry(command, dir, network, listen, advertise string, tokens int) error {
	switch command {
	case "init":
		return os.WriteFile(filepath.Join(dir, "network"), []byte(network), 0o600)
	case "serve":
		if _, err := os.Stat(filepath.Join(dir, "network")); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "advertise"), []byte(advertise), 0o600); err != nil {
			return err
		}
		l, err := net.Listen("tcp", listen)
		for err == nil {
			var conn net.Conn
			if conn, err = l.Accept(); err == nil {
				conn.Close()
			}
		}
		return err
	default:
		at, err := os.ReadFile(filepath.Join(dir, "advertise"))
		for i := range tokens {
			fmt.Printf("re6st://%s/%d#fingerprint\n", at, i+1)
		}
		return err
	}
}

func stubJoin(line, dir string) error {
	at, token, ok := strings.Cut(strings.TrimPrefix(line, "re6st://"), "/")
	number, _, ok2 := strings.Cut(token, "#")
	if !ok || !ok2 {
		return fmt.Errorf("bad join line %q", line)
	}
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	conn.Close()
	return os.WriteFile(filepath.Join(dir, "number"), []byte(number), 0o600)
}

func stubAddress(number int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:42:%x::1", number))
}

func stubID(number int) addr.NodeID { return addr.NodeID{7: byte(number)} }

// stubNode floods. A config of "fail" makes it end, one of "mute" makes it send nothing.
func stubNode(dir, config string) error {
	text, err := os.ReadFile(filepath.Join(dir, "number"))
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	behaviour := ""
	if config != "" {
		b, err := os.ReadFile(config)
		if err != nil {
			return err
		}
		behaviour = strings.TrimSpace(string(b))
	}
	if behaviour == "fail" {
		return errors.New("told to fail")
	}
	tun, err := stubTUN(stubAddress(number))
	if err != nil {
		return err
	}
	sock, err := net.ListenUDP("udp6", &net.UDPAddr{Port: stubPort})
	if err != nil {
		return err
	}
	if err := stubStatus(dir, number); err != nil {
		return err
	}
	f := &flooding{self: number, tun: tun, sock: sock, seen: map[[32]byte]bool{}, mute: behaviour == "mute"}
	go f.fromTUN()
	return f.fromMesh()
}

// stubTUN makes the TUN with the node's address and the mesh's route.
func stubTUN(addr netip.Addr) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq("tun0")
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, err
	}
	conn, err := netlink.Open()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return os.NewFile(uintptr(fd), "tun0"), errors.Join(conn.SetUp("tun0", true),
		conn.SetAddress("tun0", netip.PrefixFrom(addr, 48), false))
}

func stubStatus(dir string, number int) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(monitor.Status{Node: stubID(number), Addresses: []monitor.Address{
			{Class: "safety", Address: netip.IPv6Loopback()}, {Class: generalClass, Address: stubAddress(number)},
		}})
	})
	mux.HandleFunc("GET /v1/routes", func(w http.ResponseWriter, _ *http.Request) {
		var answer monitor.Routes
		for to := range stubNodes {
			id := stubID(to + 1)
			answer.Routes = append(answer.Routes, monitor.Route{Prefix: netip.PrefixFrom(stubAddress(to+1), 64), Egress: id, Via: id.String()})
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	path := filepath.Join(dir, monitor.SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		go func() { _ = http.Serve(l, mux) }()
	}
	return err
}

// deluge passes each packet on once.
type flooding struct {
	self int
	tun  *os.File
	sock *net.UDPConn
	mute bool

	mu   sync.Mutex
	seen map[[32]byte]bool
}

func (f *flooding) fromTUN() {
	packet := make([]byte, 2048)
	for {
		n, err := f.tun.Read(packet)
		if err != nil {
			return
		}
		f.pass(packet[:n])
	}
}

func (f *flooding) fromMesh() error {
	packet := make([]byte, 2048)
	for {
		n, _, err := f.sock.ReadFromUDP(packet)
		if err != nil {
			return err
		}
		f.pass(packet[:n])
	}
}

func (f *flooding) pass(packet []byte) {
	if f.mute || len(packet) < 40 {
		return
	}
	sum := sha256.Sum256(packet)
	f.mu.Lock()
	before := f.seen[sum]
	f.seen[sum] = true
	f.mu.Unlock()
	to, _ := netip.AddrFromSlice(packet[24:40])
	switch {
	case before:
	case to == stubAddress(f.self):
		_, _ = f.tun.Write(packet)
	default:
		for i := range stubNodes {
			if i+1 != f.self {
				at := placeOf(Full, i+1).addr6.Addr()
				_, _ = f.sock.WriteToUDPAddrPort(packet, netip.AddrPortFrom(at, stubPort))
			}
		}
	}
}
