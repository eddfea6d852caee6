package rival

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"re6st/hw/process"
)

// wireGuardPort is where each node listens.
const wireGuardPort = 51820

// wireGuard is a chain: each node opens what comes, and the kernel has it sealed again.
type wireGuard struct {
	keys    []*ecdh.PrivateKey
	devices []string // no other line has these names: the control sockets share a folder
}

// wireGuardSockets is where the control sockets are, by their devices' names.
const wireGuardSockets = "/var/run/wireguard"

func socketOf(device string) string { return filepath.Join(wireGuardSockets, device+".sock") }

func (w *wireGuard) programs(l *Line, i int) ([]process.Spec, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("rival: %w", err)
	}
	w.keys = append(w.keys, key)
	w.devices = append(w.devices, fmt.Sprintf("wg%x", key.PublicKey().Bytes()[:4]))
	return []process.Spec{{Path: l.program("wireguard"), Args: []string{"-f", w.devices[i]}}}, nil
}

// configure goes by the cross-platform userspace interface of WireGuard.
func (w *wireGuard) configure(ctx context.Context, l *Line, i int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "set=1\nprivate_key=%s\nlisten_port=%d\n", hex.EncodeToString(w.keys[i].Bytes()), wireGuardPort)
	if i > 0 {
		w.peer(&b, i-1, l.cfg.Wires[i-1].Up, 0, i)
	}
	if i < l.last() {
		w.peer(&b, i+1, l.cfg.Wires[i].Down, i+1, l.last()+1)
	}
	b.WriteString("\n")
	if err := l.wait(ctx, func() error { return w.tell(w.devices[i], b.String()) }); err != nil {
		return err
	}
	return l.address(ctx, i, w.devices[i], inside(i))
}

// peer is the next node, by which those from first on, and before end, are reached.
func (w *wireGuard) peer(b *strings.Builder, next int, at netip.Addr, first, end int) {
	fmt.Fprintf(b, "public_key=%s\nendpoint=%s\n", hex.EncodeToString(w.keys[next].PublicKey().Bytes()), netip.AddrPortFrom(at, wireGuardPort))
	for i := first; i < end; i++ {
		fmt.Fprintf(b, "allowed_ip=%s/128\n", inside(i).Addr())
	}
}

func (w *wireGuard) tell(device, text string) error {
	conn, err := net.Dial("unix", socketOf(device))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && answer != "errno=0\n" {
		err = fmt.Errorf("it answers %q", answer)
	}
	return err
}

func (w *wireGuard) target(l *Line) netip.Addr { return inside(l.last()).Addr() }

// clean removes what a killed program leaves.
func (w *wireGuard) clean() {
	for _, device := range w.devices {
		_ = os.Remove(socketOf(device))
	}
}
