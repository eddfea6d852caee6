package rival

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"path/filepath"

	"re6st/hw/process"
)

const (
	tincDevice = "tinc0"
	tincKey    = 2048 // bits
)

// tinc is a line of nodes, each of which calls the one before it; tinc relays.
type tinc struct{ keys []*rsa.PrivateKey }

func (t *tinc) programs(l *Line, i int) ([]process.Spec, error) {
	for len(t.keys) <= l.last() {
		key, err := rsa.GenerateKey(rand.Reader, tincKey)
		if err != nil {
			return nil, fmt.Errorf("rival: %w", err)
		}
		t.keys = append(t.keys, key)
	}
	conf := fmt.Sprintf("Name = n%d\nAddressFamily = ipv6\nInterface = %s\n", i, tincDevice)
	if i > 0 {
		conf += fmt.Sprintf("ConnectTo = n%d\n", i-1)
	}
	files := map[string]string{
		"tinc.conf":    conf,
		"rsa_key.priv": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(t.keys[i])})),
	}
	for n, key := range t.keys {
		at := ""
		if n < l.last() {
			at = fmt.Sprintf("Address = %s\n", l.cfg.Wires[n].Up)
		}
		// Without IndirectData it tries at length to reach by UDP who is no neighbor.
		files[filepath.Join("hosts", fmt.Sprint("n", n))] = fmt.Sprintf("%sSubnet = %s/128\nIndirectData = yes\nCipher = aes-256-cbc\nDigest = sha256\n%s", at, inside(n).Addr(),
			pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)}))
	}
	for name, text := range files {
		if _, err := l.file(i, name, text); err != nil {
			return nil, err
		}
	}
	return []process.Spec{{Path: "tincd", Args: []string{"-D", "-c", l.dir(i), "--pidfile=" + filepath.Join(l.dir(i), "pid")}}}, nil
}

func (t *tinc) configure(ctx context.Context, l *Line, i int) error {
	return l.address(ctx, i, tincDevice, inside(i))
}

func (t *tinc) target(l *Line) netip.Addr { return inside(l.last()).Addr() }
