// Package ktunnel makes tunnels of the kernel, each a point-to-point interface with
// a link-local address, by which the sealed datagrams of a link may go:
//
//	GRE        GRE by IPv4 or IPv6, with keys (RFC 2784, RFC 2890, RFC 7676)
//	FOU        the same GRE in UDP datagrams (RFC 8086's layout; Linux' fou module)
//	WireGuard  sealed, in UDP datagrams (wireguard.com/papers/wireguard.pdf)
//
//	            Spec ----> Tunnels.Add ----> link, group TunnelGroup    rtnetlink
//	                                         mark "re6st tunnel OWNER"  (its alias)
//	                                         keys, peer | UDP port      generic netlink
//	                                         rule: iif OWNER-n blackhole   (but for what is trusted)
//	                                         fe80:: address, MTU, up
//	 after a crash ----> Tunnels.Sweep ----> links with the mark that are not kept
//
// An owner is one node of the network namespace. What is its own carries its mark, and no
// other link is ever changed or removed: a name that somebody else has is ErrForeign. In the
// moment before the mark is there a link is known by the owner's prefix in its name together
// with the group, and being down.
//
// GRE and FOU seal nothing: whoever is on the way reads and writes what goes through. They
// are for packets that are sealed already, as those of a fabric.Link are. Nothing else goes
// through: the interface has a link-local address, and no route; and what comes by it goes no
// further than this host (netlink.Conn.Shut), or whoever sends into it would send into the
// mesh, in the node's name; nor are router advertisements believed that come by it. Of what is
// for this host itself a Spec's Port lets in the link's own datagrams alone, by filters (tc-u32(8)).
//
// A tunnel with a Trust takes other packets too, from the other node's prefix for this one's,
// by filters or cryptokey routing, and Lead sends such packets into it:
//
//	rules of netlink.Direct --> DirectTable: PEER via fe80::PEER dev OWNER-n  <-- Lead
//
// The caller's duties:
//
//  1. Agree with the other end on addresses, ports, keys and MTU; Spec says which are the
//     same at both ends, and which are crossed.
//  2. Take the MTU from Kind.MTU: the kernel gives a tunnel more than its underlay carries
//     where it does not know better, and then there are fragments.
//  3. Sweep at the start with the names to be kept, and Remove what is not wanted any more:
//     tunnels outlive the process.
//  4. Have the module fou loaded where the process lacks CAP_SYS_MODULE; the others the
//     kernel loads by itself. It needs CAP_NET_ADMIN.
//
// A Tunnels is for one goroutine at a time.
package ktunnel
