package rival

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrTunnel is a tunnel that is not known, not there, or cannot be had over so many links.
var ErrTunnel = errors.New("no such tunnel")

// Tunnel is a tunnel of others.
type Tunnel string

// The tunnels.
const (
	WireGuardGo Tunnel = "wireguard-go"
	Nebula      Tunnel = "nebula"
	Yggdrasil   Tunnel = "yggdrasil"
	OpenVPNUDP  Tunnel = "openvpn-udp"
	OpenVPNTCP  Tunnel = "openvpn-tcp"
	Tinc        Tunnel = "tinc"
)

// Tunnels are all of them.
var Tunnels = []Tunnel{WireGuardGo, Nebula, Yggdrasil, OpenVPNUDP, OpenVPNTCP, Tinc}

// nebulaLinks is how many links nebula is measured over.
const nebulaLinks = 1

// recipe is how to have a tunnel.
type recipe struct {
	programs []string
	debian   string // the package; "": built from pinned modules
	driver   func() driver
}

var recipes = map[Tunnel]recipe{
	WireGuardGo: {[]string{"wireguard"}, "", func() driver { return &wireGuard{} }},
	Nebula:      {[]string{"nebula", "nebula-cert"}, "", func() driver { return &nebula{} }},
	Yggdrasil:   {[]string{"yggdrasil"}, "", func() driver { return &yggdrasil{} }},
	OpenVPNUDP:  {[]string{"openvpn"}, "openvpn", func() driver { return &openVPN{server: "udp6", client: "udp6"} }},
	OpenVPNTCP:  {[]string{"openvpn"}, "openvpn", func() driver { return &openVPN{server: "tcp6-server", client: "tcp6-client"} }},
	Tinc:        {[]string{"tincd"}, "tinc", func() driver { return &tinc{} }},
}

// Check says why a tunnel cannot be had over a line of so many links; programs is the folder
// of those that Debian has not.
func (t Tunnel) Check(programs string, links int) error {
	r, known := recipes[t]
	if !known {
		return fmt.Errorf("rival: %w: %q; there are %v", ErrTunnel, t, Tunnels)
	}
	for _, p := range r.programs {
		if r.debian != "" {
			if _, err := exec.LookPath(p); err != nil {
				return fmt.Errorf("rival: %w here: %s; install Debian's package %s", ErrTunnel, t, r.debian)
			}
		} else if _, err := os.Stat(filepath.Join(programs, p)); err != nil {
			return fmt.Errorf("rival: %w here: %s: no %s; build it with: make rivals", ErrTunnel, t, filepath.Join(programs, p))
		}
	}
	if t == Nebula && links > nebulaLinks {
		return fmt.Errorf("rival: %w over %d links: nebula relays by one node at most", ErrTunnel, links)
	}
	return nil
}
