package carrier

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"re6st/protocols/fabric"
)

const (
	// segmentLen is TCP's segment at most, in bytes: with it no packet of a connection is
	// longer than IPv6's least MTU, so that no router has one to lose in silence.
	segmentLen = 1280 - 40 - 20
	// stuckAfter is how long TCP may be without an acknowledgement: then the connection is
	// dead (TCP_USER_TIMEOUT), or a write waits.
	stuckAfter = 3 * time.Second
	// unsent is how many bytes may wait in the kernel: what is beyond waits here, where it
	// can be dropped (TCP_NOTSENT_LOWAT).
	unsent = 128 << 10
	// sentAtOnce is how many records are written by one call at most, and recordMore how many
	// bytes one has beside its data at most (RFC 8446 section 5.2).
	sentAtOnce = 4
	recordMore = 5 + 256
	certLife   = 90 * 24 * time.Hour
)

// alpnTLS and alpnQUIC are what browsers say.
var (
	alpnTLS  = []string{"h2", "http/1.1"}
	alpnQUIC = []string{"h3"}
)

// throwAway makes a certificate that says nothing.
func throwAway() (tls.Certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-certLife), NotAfter: now.Add(10 * certLife)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}

func serverTLS(c tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c}, NextProtos: alpnTLS, DynamicRecordSizingDisabled: true}
}

// clientTLS verifies nobody: what is inside does.
func clientTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: alpnTLS, DynamicRecordSizingDisabled: true} //nolint:gosec // see doc.go
}

// options sets the mark and what TCP is to do, before it begins.
func (c *Conn) options(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) { err = setTCP(int(fd), c.mark) }); e != nil {
		return e
	}
	return err
}

func setTCP(fd int, mark uint32) error {
	for _, o := range []struct {
		name              string
		level, opt, value int
	}{
		{"TCP_MAXSEG", unix.IPPROTO_TCP, unix.TCP_MAXSEG, segmentLen},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(stuckAfter / time.Millisecond)},
		{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent},
		{"SO_MARK", unix.SOL_SOCKET, unix.SO_MARK, int(mark)},
	} {
		if o.opt == unix.SO_MARK && o.level == unix.SOL_SOCKET && mark == 0 {
			continue
		}
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("set %s to %d: %w", o.name, o.value, err)
		}
	}
	return nil
}

// listenTLS serves TLS, where the port is free.
func (c *Conn) listenTLS(port uint16) {
	lc := net.ListenConfig{Control: c.options}
	l, err := lc.Listen(c.ctx, "tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		c.refused = fmt.Errorf("tls: %w", err)
		return
	}
	c.port = uint16(l.Addr().(*net.TCPAddr).Port)
	stop := context.AfterFunc(c.ctx, func() { _ = l.Close() })
	c.running.Go(func() {
		defer stop()
		for {
			tcp, err := l.Accept()
			switch {
			case c.ctx.Err() != nil:
				if err == nil {
					_ = tcp.Close()
				}
				return
			case err != nil: // too many files, or one that is gone already
				time.Sleep(10 * time.Millisecond)
			default:
				c.acceptTLS(tcp)
			}
		}
	})
}

func (c *Conn) acceptTLS(tcp net.Conn) {
	remote := addrPort(tcp.RemoteAddr())
	if !c.sources.take(time.Now(), remote.Addr()) {
		_ = tcp.Close()
		return
	}
	// Behind that bound, for localOf asks the kernel of every interface.
	n := c.newConnection(fabric.Path{Local: localOf(tcp.LocalAddr()), Remote: remote, Carrier: fabric.TLS}, true)
	if !c.accept(n) {
		c.sources.release(remote.Addr())
		_ = tcp.Close()
		return
	}
	c.running.Go(func() {
		defer n.end()
		ctx, cancel := context.WithTimeout(n.ctx, FirstWithin)
		defer cancel()
		below := &corked{Conn: tcp}
		conn := tls.Server(below, c.server)
		if conn.HandshakeContext(ctx) != nil {
			_ = tcp.Close()
			return
		}
		l := &stream{tls: conn, tcp: below}
		n.mu.Lock()
		n.link = l
		n.mu.Unlock()
		n.serve(l)
	})
}

func (c *Conn) dialTLS(ctx context.Context, path fabric.Path) (link, fabric.Local, error) {
	d := net.Dialer{Control: c.options}
	if path.Local.Addr.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: path.Local.Addr.AsSlice(), Zone: path.Local.Addr.Zone()}
	}
	tcp, err := d.DialContext(ctx, "tcp", path.Remote.String())
	if err != nil {
		return nil, fabric.Local{}, err
	}
	below := &corked{Conn: tcp}
	conn := tls.Client(below, c.client)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = tcp.Close()
		return nil, fabric.Local{}, err
	}
	return &stream{tls: conn, tcp: below}, localOf(tcp.LocalAddr()), nil
}

// addrPort is a TCP address as packets have it.
func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// localOf is an address of this node with its interface.
func localOf(a net.Addr) fabric.Local {
	addr := addrPort(a).Addr()
	return fabric.Local{Addr: addr.WithZone(""), Interface: interfaceOf(addr)}
}

// interfaceOf is the index of the interface that has an address; 0: none.
func interfaceOf(addr netip.Addr) int {
	if addr.Zone() != "" {
		if i, err := net.InterfaceByName(addr.Zone()); err == nil {
			return i.Index
		}
	}
	all, err := net.Interfaces()
	if err != nil {
		return 0
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().WithZone("") == addr.WithZone("") {
				return i.Index
			}
		}
	}
	return 0
}
