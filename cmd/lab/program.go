package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"re6st/hw/process"
)

// program is the re6st binary. This file alone knows how it is called and what its
// control socket answers.
type program struct{ path string }

// Of the network that a lab makes.
const (
	meshNetwork  = "2001:db8:42::/48" // RFC 3849
	registryPort = 6326
	generalClass = "general" // the class whose address is pinged
)

// thisProgram is the binary that runs: the lab and its nodes are of one build.
func thisProgram() (program, error) {
	path, err := os.Executable()
	if err != nil {
		return program{}, fmt.Errorf("lab: which binary is this: %w", err)
	}
	return program{path}, nil
}

func (p program) spec(args ...string) process.Spec { return process.Spec{Path: p.path, Args: args} }

func (p program) registryInit(dir string) process.Spec {
	return p.spec("registry", "init", "-d", dir, "--network", meshNetwork)
}

// registryAddress is where nodes find the registry.
func registryAddress(at place) netip.AddrPort {
	return netip.AddrPortFrom(at.addr4.Addr(), registryPort)
}

func (p program) registryServe(dir string, at netip.AddrPort) process.Spec {
	return p.spec("registry", "serve", "-d", dir,
		"--listen", net.JoinHostPort("::", strconv.Itoa(int(at.Port()))), "--advertise", at.String())
}

// registryTokens prints n lines re6st://HOST:PORT/TOKEN#FINGERPRINT.
func (p program) registryTokens(dir string, n int) process.Spec {
	return p.spec("registry", "token", "-d", dir, "-n", strconv.Itoa(n))
}

func (p program) join(line, dir string) process.Spec {
	return p.spec("join", line, "-d", dir)
}

// node runs until it is told to end; config is the name of a file, or "".
func (p program) node(dir, config string) process.Spec {
	s := p.spec("node", "-d", dir)
	if config != "" {
		s.Args = append(s.Args, "--config", config)
	}
	return s
}

// socket is the node's read-write control socket.
func (p program) socket(dir string) string { return filepath.Join(dir, "re6st.sock") }

func (p program) readOnlySocket(dir string) string { return filepath.Join(dir, "re6st-ro.sock") }

// addresses asks a running node for its address in each class.
func (p program) addresses(ctx context.Context, dir string) (map[string]netip.Addr, error) {
	var status struct {
		Addresses map[string]netip.Addr `json:"addresses"`
	}
	if err := p.get(ctx, dir, "/v1/status", &status); err != nil {
		return nil, err
	}
	if !status.Addresses[generalClass].IsValid() {
		return nil, fmt.Errorf("lab: /v1/status has no address of class %s yet", generalClass)
	}
	return status.Addresses, nil
}

// routes asks a running node to which neighbor it sends what is for each node: both
// by their address of the general class.
func (p program) routes(ctx context.Context, dir string) (map[netip.Addr]netip.Addr, error) {
	var answer struct {
		Routes []struct {
			Address netip.Addr `json:"address"` // of the node at the end
			Via     netip.Addr `json:"via"`     // of the neighbor
		} `json:"routes"`
	}
	if err := p.get(ctx, dir, "/v1/routes", &answer); err != nil {
		return nil, err
	}
	via := map[netip.Addr]netip.Addr{}
	for _, r := range answer.Routes {
		if r.Address.IsValid() && r.Via.IsValid() {
			via[r.Address] = r.Via
		}
	}
	return via, nil
}

// get reads one JSON answer from a node's control socket.
func (p program) get(ctx context.Context, dir, path string, into any) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", p.readOnlySocket(dir))
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("lab: ask node: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("lab: ask node: %s: %s", path, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("lab: ask node: %s: %w", path, err)
	}
	return nil
}
