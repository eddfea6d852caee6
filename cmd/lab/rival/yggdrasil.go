package rival

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"re6st/hw/process"
)

const yggdrasilPort = 9001

// yggdrasil is a line of nodes, each of which calls the one before it.
type yggdrasil struct{ addresses []netip.Addr }

func (y *yggdrasil) programs(l *Line, i int) ([]process.Spec, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("rival: %w", err)
	}
	by := func(a netip.Addr) string { return "tcp://" + netip.AddrPortFrom(a, yggdrasilPort).String() }
	listen, peers := []string{}, []string{}
	if i < l.last() {
		listen = append(listen, by(l.cfg.Wires[i].Up))
	}
	if i > 0 {
		peers = append(peers, by(l.cfg.Wires[i-1].Up))
	}
	text, err := json.Marshal(map[string]any{
		"PrivateKey": hex.EncodeToString(key), "Listen": listen, "Peers": peers,
		"MulticastInterfaces": []string{}, "AdminListen": "none", "IfName": "ygg0",
	})
	if err != nil {
		return nil, fmt.Errorf("rival: %w", err)
	}
	path, err := l.file(i, "config.json", string(text))
	if err != nil {
		return nil, err
	}
	// The address follows from the key.
	out, err := exec.Command(l.program("yggdrasil"), "-useconffile", path, "-address").Output()
	if err != nil {
		return nil, fmt.Errorf("rival: yggdrasil -address: %w", err)
	}
	a, err := netip.ParseAddr(strings.TrimSpace(string(out)))
	if err != nil {
		return nil, fmt.Errorf("rival: yggdrasil -address: %w", err)
	}
	y.addresses = append(y.addresses, a)
	return []process.Spec{{Path: l.program("yggdrasil"), Args: []string{"-useconffile", path}}}, nil
}

func (*yggdrasil) configure(context.Context, *Line, int) error { return nil }

func (y *yggdrasil) target(l *Line) netip.Addr { return y.addresses[l.last()] }
