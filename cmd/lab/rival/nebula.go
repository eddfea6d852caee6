package rival

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"re6st/hw/process"
)

const nebulaPort = 4242

// nebula is two nodes that know each other's address.
type nebula struct{}

func (*nebula) cert(l *Line, args ...string) error {
	out, err := exec.Command(l.program("nebula-cert"), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("rival: nebula-cert: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (n *nebula) programs(l *Line, i int) ([]process.Spec, error) {
	ca := filepath.Join(l.cfg.Dir, "ca")
	if i == 0 {
		if err := n.cert(l, "ca", "-version", "2", "-name", "bench", "-out-crt", ca+".crt", "-out-key", ca+".key"); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(l.dir(i), 0o700); err != nil {
		return nil, fmt.Errorf("rival: %w", err)
	}
	own := filepath.Join(l.dir(i), "node")
	if err := n.cert(l, "sign", "-ca-crt", ca+".crt", "-ca-key", ca+".key", "-name", fmt.Sprint("n", i), "-networks", inside(i).String(),
		"-out-crt", own+".crt", "-out-key", own+".key"); err != nil {
		return nil, err
	}
	all := []map[string]string{{"port": "any", "proto": "any", "host": "any"}}
	type m = map[string]any
	peers, at := map[string][]string{}, l.cfg.Wires[0].Up
	if i == 0 {
		at = l.cfg.Wires[0].Down
	}
	peers[inside(1-i).Addr().String()] = []string{netip.AddrPortFrom(at, nebulaPort).String()}
	text, err := json.Marshal(m{ // YAML takes JSON
		"pki":             m{"ca": ca + ".crt", "cert": own + ".crt", "key": own + ".key"},
		"static_host_map": peers,
		"lighthouse":      m{"am_lighthouse": false, "hosts": []string{}},
		"listen":          m{"host": "::", "port": nebulaPort},
		"cipher":          "aes",
		"tun":             m{"dev": "nebula"},
		"logging":         m{"level": "error"},
		"firewall":        m{"outbound": all, "inbound": all},
	})
	if err != nil {
		return nil, fmt.Errorf("rival: %w", err)
	}
	path, err := l.file(i, "config.yml", string(text))
	return []process.Spec{{Path: l.program("nebula"), Args: []string{"-config", path}}}, err
}

func (*nebula) configure(context.Context, *Line, int) error { return nil }

func (*nebula) target(l *Line) netip.Addr { return inside(l.last()).Addr() }
