package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// sockets examines the options of UDP sockets.
func sockets() []Finding {
	option := func(name, purpose string, level, opt, value int) Finding {
		f := Finding{Area: "sockets", Name: name, For: purpose, Cure: "a kernel of 5.10 or newer; without it the node works, slower"}
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			f.Cure = "enable IPv6 in the kernel (ipv6.disable=0)"
			return f.needed(fmt.Errorf("no UDP socket over IPv6: %w", err), "")
		}
		defer unix.Close(fd)
		return f.wanted(unix.SetsockoptInt(fd, level, opt, value), "yes")
	}
	buffers := Finding{
		Area: "sockets", Name: "buffers", For: "bursts: the node asks for 4 MiB",
		Cure: "run with CAP_NET_ADMIN, or sysctl net.core.rmem_max=4194304 net.core.wmem_max=4194304",
	}
	most, err := number(procSys, "net/core/rmem_max")
	if err == nil && privilege().Grade != OK && most < 4<<20 {
		err = fmt.Errorf("net.core.rmem_max is %d", most)
	}
	return []Finding{
		option("UDP_SEGMENT", "sending batches (GSO); where those get lost: batches = false", unix.SOL_UDP, unix.UDP_SEGMENT, 0),
		option("UDP_GRO", "receiving batches", unix.SOL_UDP, unix.UDP_GRO, 1),
		buffers.wanted(err, "as large as the node asks"),
	}
}
