package rival

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"time"

	"re6st/hw/process"
)

const (
	openVPNPort = "1194"
	openVPNUp   = "ovpn-up"
	openVPNDown = "ovpn-down"
)

// openVPN is a chain: a process at either end of each link, and the kernel forwards.
type openVPN struct {
	server, client string // --proto
	prints         []string
	files          [][2]string // certificate and key
}

// end is the address of an end of link i: 1 or 2. Each link has a network of its own.
func (*openVPN) end(i, end int) netip.Prefix {
	b := overlay.Addr().As16()
	b[7], b[15] = byte(0x80+i), byte(end)
	return netip.PrefixFrom(netip.AddrFrom16(b), overlay.Bits())
}

// credentials are those of node i.
func (o *openVPN) credentials(l *Line, i int) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("rival: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprint("n", i)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("rival: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("rival: %w", err)
	}
	cert, err := l.file(i, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	private, err2 := l.file(i, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	o.files = append(o.files, [2]string{cert, private})
	o.prints = append(o.prints, strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(der)), " ", ":"))
	return errors.Join(err, err2)
}

func (o *openVPN) programs(l *Line, i int) (specs []process.Spec, err error) {
	for len(o.files) <= l.last() {
		if err := o.credentials(l, len(o.files)); err != nil {
			return nil, err
		}
	}
	common := func(device string, link, end, peer int) []string {
		return []string{
			"--dev", device, "--dev-type", "tun", "--cert", o.files[i][0], "--key", o.files[i][1], "--peer-fingerprint", o.prints[peer],
			"--data-ciphers", "AES-256-GCM", "--ifconfig-ipv6", o.end(link, end).String(), o.end(link, 3-end).Addr().String(), "--verb", "1",
		}
	}
	if i < l.last() {
		specs = append(specs, process.Spec{Path: "openvpn", Args: append(common(openVPNUp, i, 1, i+1),
			"--tls-server", "--dh", "none", "--proto", o.server, "--local", l.cfg.Wires[i].Up.String(), "--port", openVPNPort)})
	}
	if i > 0 {
		specs = append(specs, process.Spec{Path: "openvpn", Args: append(common(openVPNDown, i-1, 2, i-1),
			"--tls-client", "--proto", o.client, "--remote", l.cfg.Wires[i-1].Up.String(), openVPNPort, "--nobind")})
	}
	return specs, nil
}

// configure gives the routes to the links that are not the node's own.
func (o *openVPN) configure(ctx context.Context, l *Line, i int) error {
	for link := range l.cfg.Wires {
		device := openVPNUp
		switch {
		case link < i-1:
			device = openVPNDown
		case link <= i:
			continue
		}
		route := []string{"-6", "route", "replace", o.end(link, 0).Masked().String(), "dev", device}
		if err := l.wait(ctx, func() error { return l.run(ctx, i, "ip", route...) }); err != nil {
			return err
		}
	}
	return nil
}

func (o *openVPN) target(l *Line) netip.Addr { return o.end(l.last()-1, 2).Addr() }
