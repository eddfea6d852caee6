package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"re6st/hw/sock"
)

// Port examines whether a node could open its UDP port now; one that runs has it.
func Port(port uint16) Finding {
	f := Finding{
		Area: "sockets", Name: fmt.Sprint("UDP port ", port), For: "everything that the node says to others",
		Cure: "ss -ulnp tells who has it; or another port in node.toml, 0 for a free one",
	}
	s, err := sock.Listen(sock.Config{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), port)})
	if errors.Is(err, unix.EADDRINUSE) {
		err = errors.New("another program has it")
	}
	if err != nil {
		return f.needed(err, "")
	}
	return f.needed(s.Close(), "free")
}

// TLSPort examines whether a node could serve links by TLS now; one that runs does, or says
// why not.
func TLSPort(port uint16) Finding {
	f := Finding{
		Area: "sockets", Name: fmt.Sprint("TCP port ", port), For: "links by TLS that others dial, where UDP does not pass",
		Cure: "ss -tlnp tells who has it; free it, or name another by tls_port in node.toml, or 0 for none",
	}
	l, err := net.Listen("tcp", fmt.Sprint(":", port))
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		err = errors.New("another program has it")
	case errors.Is(err, unix.EACCES):
		err = errors.New("this user may not listen there")
		f.Cure = "run the node as root or with CAP_NET_BIND_SERVICE, or name a port from 1024 on by tls_port in node.toml"
	}
	if err != nil {
		return f.wanted(err, "")
	}
	return f.wanted(l.Close(), "free")
}
