package doctor

import (
	"errors"
	"fmt"
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
