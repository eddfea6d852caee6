// Package dataplane is the path of packets: between the TUN, the sealed sessions
// and the UDP sockets of the underlay. No actor stands in it.
//
//	          ingress                                    egress
//	TUN -> classes -> rib.Lookup -> Session.Seal   Session.Open -> Accept -> classes -> TUN
//	                                     |              ^
//	                 rib.Relay -> LinkSession.StampHops | CheckHops
//	                       ^             |              |
//	                       |             v              |
//	            TakeHop <- relay <----- sockets --------+--> handshakes, control
//
// One goroutine reads each queue of the TUN, one each socket; each takes a packet all the way,
// by the queue or the socket of its own number, without a lock, and without allocating. Frames of one length for one link that come
// behind one another are checked together, and are stamped and leave by one call (train.go), as
// soon as there is nothing more to read. Links, sessions and routes are
// snapshots that are replaced, never changed. Whatever is rare (a destination
// without a session, an ICMPv6 error, a fragment) may lock and allocate, has a
// limit, and is counted.
//
// What is decided here:
//
//   - The class of a packet is that of the ranges its addresses lie in. Source and
//     destination in two different ranges: refused with ICMPv6 "administratively
//     prohibited". An address outside of all ranges (the Internet behind a
//     gateway) goes with the class of the other one.
//   - The mesh is one hop to the inner packet. A packet from a LAN was already
//     taken one from by the kernel that forwarded it into the TUN, and the
//     egress's kernel takes another if it forwards: so nothing here touches the
//     inner hop limit. Relays take from the hop header's.
//   - The topology is the class's strict one while the egress can be reached
//     there, else any. Relays never change it.
//   - A relay follows the route even if that leads back where the frame came
//     from: Babel has no loops but for moments, and those die of the hop limit.
//   - Errors of relays are hints. "Unknown session" goes up by UnknownSessions,
//     once per egress and interval, while the old session stays.
//   - Control and handshakes from a new address are handed up with that address.
//     Nothing here moves a link: SetRemote does.
//   - What leaves the mesh here is what Config.Inbound lets in: this machine, and what
//     lies behind it, may take answers only (protocols/inbound). Refusals are counted by
//     reason, and not answered.
//   - IPv4 is carried as IPv6 is, in the class "general", where SetIPv4 says that the
//     network has it (RFC 9229). What a peer sends of it has to be for what this node
//     announces: private addresses mean something on each LAN. Who allows fragments gets no
//     error where a link is narrow: the frame is split.
//   - ECN by RFC 6040: the inner field is copied outside, and congestion met on
//     the way is written into the inner packet at the egress.
//   - A frame that the next link cannot carry is split if the inner packet is of
//     1280 bytes or less, and else refused with Packet Too Big. What a link carries its
//     Link finds out (SetLinkMTU); what the interface refuses lowers it at once. Who sent
//     longer ones lately is told without waiting for the next (mtu.go). What links beyond
//     carry their relays say; the ingress asks the egress whether that is so (path.go). The
//     kernel learns of both by Packet Too Big, and keeps it for each destination itself: no
//     routes with an MTU are made. A SYN's MSS is clamped to what the way carries whole, at
//     both ends of it (mss.go).
//
// With several queues and sockets (MoreTUNs, MoreConns) several processors forward, and
// a flow keeps its order: its packets come by one queue (hw/tun), those of a peer by one
// socket (hw/sock), and what one goroutine takes it sends in turn. So the packets of one peer,
// of all flows, take one processor at a relay and at the egress; those of others may take another.
// All is shared but a worker's memory: links, sessions and their replay windows, reassembly,
// rates, what waits. Counters of a link or session are reserved as frames are stamped and
// sealed, and reach the peer out of order by no more than is under way at a time: far less than
// its window (fabric.LinkWindow).
//
// Duties of the driver:
//
//  1. Open TUN and Conn, and more of either, call New, then Run in a goroutine; all are closed
//     when it returns.
//  2. Read Handshakes, Transits, Rendezvous, Wanted and UnknownSessions; they are bounded and
//     what does not fit is dropped and counted.
//  3. Take indices for links and sessions from NewIndex, AddLink before
//     InstallLink, InstallSession before UseSession.
//  4. SetView with each change of the routing table.
//  5. Keep Config.Accept and the control functions quick and free of locks: the
//     packet path calls them, several goroutines of it at the same time.
package dataplane
