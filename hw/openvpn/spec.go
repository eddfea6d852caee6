package openvpn

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"re6st/hw/process"
	"re6st/protocols/ktunnel"
)

// Program is what is run unless a Spec names another, looked up in PATH.
const Program = "openvpn"

// Spec is one end of a tunnel.
type Spec struct {
	Program string       // "": Program
	Device  string       // the TAP's name
	Kind    ktunnel.Kind // OpenVPNUDP or OpenVPNTCP
	// Local is where this end waits for the peer; not valid where it dials Remote.
	Local, Remote netip.AddrPort
	// Peer is the common name of the only certificate that is taken; "": any of the CA.
	Peer                 string
	CA, Certificate, Key []byte // PEM
	// Revocations is the CA's list (RFC 5280 section 5), PEM, by which the end that dials refuses
	// certificates; that which waits asks Admit. Empty: none.
	Revocations []byte
	MTU         int    // of the TAP in bytes, the same at both ends
	Mark        uint32 // SO_MARK of the outer packets, or 0
	// Folder is where the management socket lies, made if need be; nobody else may write there.
	Folder string
	NS     process.Namespace // nil: that of the process
	// Admit is asked by the waiting end about each client with a good certificate, at each
	// connection and new key; an error keeps it out. nil: all are welcome. It must not block.
	Admit func(Client) error
	Log   func(line string) // what the child logs; nil: nobody reads it. One goroutine calls it
}

// deviceNameLen is the most that a link's name has (IFNAMSIZ, without the zero).
const deviceNameLen = 15

func (s *Spec) check() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %q: %s", ErrSpec, s.Device, fmt.Sprintf(format, args...))
	}
	switch {
	case s.Device == "" || len(s.Device) > deviceNameLen || strings.ContainsAny(s.Device, "/: \t\n\"\\"):
		return refuse("the TAP's name has 1 to %d bytes", deviceNameLen)
	case !s.Kind.IsOpenVPN():
		return refuse("its %v is none of openvpn-udp, openvpn-tcp", s.Kind)
	case s.Local.IsValid() == s.Remote.IsValid():
		return refuse("one end waits at an address, the other dials one: %v, %v", s.Local, s.Remote)
	case !usable(s.Outer()):
		return refuse("%v is no unicast address with a port and without a zone", s.Outer())
	case strings.ContainsFunc(s.Peer, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r >= 0x7f }):
		return refuse("the peer's common name is %q", s.Peer)
	case s.MTU < ktunnel.MinMTU || s.MTU > ktunnel.OpenVPNMTU:
		return refuse("an MTU of %d bytes; it is %d to %d", s.MTU, ktunnel.MinMTU, ktunnel.OpenVPNMTU)
	}
	for _, part := range s.parts() {
		// The text goes between tags, so it has to be a block and nothing else.
		if block, rest := pem.Decode(part.text); block == nil || len(bytes.TrimSpace(rest)) > 0 || !bytes.HasPrefix(part.text, []byte("-----BEGIN ")) {
			return refuse("its %s is not one block of PEM", part.name)
		}
	}
	return nil
}

// part is a file of the child's that stands in its configuration.
type part struct {
	name, tag string
	text      []byte
}

func (s *Spec) parts() []part {
	parts := []part{{"CA", "ca", s.CA}, {"certificate", "cert", s.Certificate}, {"key", "key", s.Key}}
	if len(s.Revocations) > 0 && !s.Local.IsValid() {
		parts = append(parts, part{"revocation list", "crl-verify", s.Revocations})
	}
	return parts
}

// Outer is the address of which the Spec speaks: where it waits, or whom it dials.
func (s *Spec) Outer() netip.AddrPort {
	if s.Local.IsValid() {
		return s.Local
	}
	return s.Remote
}

func usable(a netip.AddrPort) bool {
	return a.Port() != 0 && a.Addr().IsGlobalUnicast() && !a.Addr().Is4In6() && a.Addr().Zone() == ""
}

// common are the lines of both ends.
const common = `dev-type tap
ifconfig-noexec
route-noexec
script-security 0
persist-tun
persist-key
data-ciphers AES-256-GCM:CHACHA20-POLY1305
auth SHA256
tls-version-min 1.2
mssfix 0
verb 3
suppress-timestamps
user nobody
management-client
management-hold
`

// config is what the child reads, with the keys. socket is its management's.
func (s *Spec) config(socket string) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(common)
	line("dev %s", s.Device)
	line("management \"%s\" unix", strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(socket))
	line("tun-mtu %d", s.MTU)
	line("ping %d", seconds(PingTime))
	line("ping-exit %d", seconds(IdleTime))
	line("hand-window %d", seconds(HandshakeTime))
	if s.Peer != "" {
		line("verify-x509-name %s name", s.Peer)
	}
	if s.Mark != 0 {
		line("mark %d", s.Mark)
	}
	if s.Kind == ktunnel.OpenVPNUDP {
		line("mtu-disc yes")
	} else {
		line("socket-flags TCP_NODELAY")
	}
	if s.Local.IsValid() {
		s.waits(line)
	} else {
		s.dials(line)
	}
	for _, part := range s.parts() {
		line("<%s>\n%s\n</%s>", part.tag, bytes.TrimSpace(part.text), part.tag)
	}
	return b.Bytes()
}

// waits are the lines of the end that the peer comes to.
func (s *Spec) waits(line func(string, ...any)) {
	line("mode server\ntls-server\ndh none\nmanagement-client-auth\nauth-user-pass-optional")
	line("local %s", s.Local.Addr())
	line("port %d", s.Local.Port())
	line("proto %s", s.protocol("-server"))
	line("max-clients %d", maxPending)
}

// dials are the lines of the end that comes. What would have it try again ends it: Run's
// caller knows when, and where, to try.
func (s *Spec) dials(line func(string, ...any)) {
	line("client\nnobind\nresolv-retry 0\nremap-usr1 SIGTERM\ntls-exit\nconnect-retry-max 1")
	line("connect-timeout %d", seconds(HandshakeTime))
	line("proto %s", s.protocol("-client"))
	line("remote %s %d", s.Remote.Addr(), s.Remote.Port())
}

// protocol is OpenVPN's name of the transport by the outer address's family.
func (s *Spec) protocol(role string) string {
	family := "6"
	if s.Outer().Addr().Is4() {
		family = "4"
	}
	if s.Kind == ktunnel.OpenVPNUDP {
		return "udp" + family
	}
	return "tcp" + family + role
}

func seconds(d time.Duration) int { return int(d / time.Second) }

// String names the tunnel and its ends, without its keys.
func (s *Spec) String() string {
	if s.Local.IsValid() {
		return fmt.Sprintf("%v tunnel %s, waiting at %v", s.Kind, s.Device, s.Local)
	}
	return fmt.Sprintf("%v tunnel %s to %v", s.Kind, s.Device, s.Remote)
}
