package node

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"re6st/actors/monitor"
	"re6st/actors/tunnel"
	kernel "re6st/hw/ktunnel"
	"re6st/hw/openvpn"
	"re6st/protocols/cert"
	"re6st/protocols/ktunnel"
)

// openvpn is what OpenVPN below links is started with.
func (r *root) openvpn(owner string) *tunnel.OpenVPN {
	c := r.options.Config
	return &tunnel.OpenVPN{
		Program: c.OpenVPN, Folder: filepath.Join(cmp.Or(c.ControlDir, monitor.ControlDir(r.options.Dir)), "openvpn"), Run: openvpn.Run,
		Open: func() (tunnel.TAPs, error) { return kernel.Open(owner) },
		Identity: func() (ca, certificate, key []byte, err error) {
			m := r.identity.newest()
			key, err = cert.EncodeKey(m.Key)
			return cert.EncodeCertificate(m.Authority.Certificate.Raw), cert.EncodeCertificate(m.Certificate), key, err
		},
		Revocations: r.revocations.Load,
	}
}

// wantsOpenVPN is the first kind of OpenVPN's that is offered to somebody; 0: none.
func (c Config) wantsOpenVPN() ktunnel.Kind {
	kinds := slices.Clone(c.Tunnels)
	for _, p := range c.TunnelPeers {
		kinds = append(kinds, p.Tunnels...)
	}
	for _, k := range kinds {
		if k.IsOpenVPN() {
			return k
		}
	}
	return 0
}

// OpenVPNMissing tells of a program that the configuration needs and that is not there.
func (c Config) OpenVPNMissing() error {
	kind := c.wantsOpenVPN()
	if kind == 0 {
		return nil
	}
	if _, err := openvpn.Find(c.OpenVPN); err != nil {
		return fmt.Errorf("tunnels has %v: %w; links go on without it", kind, err)
	}
	return nil
}

// openvpnStatus adds what OpenVPN lacks.
func (n *parts) openvpnStatus(s *monitor.Status) {
	if err := n.settings.get().OpenVPNMissing(); err != nil {
		s.Problems = append(s.Problems, err.Error())
		if s.State != monitor.Revoked {
			s.State = monitor.Degraded
		}
	}
}
