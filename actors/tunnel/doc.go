// Package tunnel opens, keeps and closes the sealed links to other nodes: a
// manager that chooses the peers, and one child actor for each link.
//
//	registry, remembered, gossip --> Manager ----> tunnelplan.Planner (whom to dial)
//	plane.Handshakes (pump) -------> |  |  ^  '--> fabric.Acceptor (who may dial us)
//	                          spawn, |  |  | up, down, peers learned
//	                      handshakes v  v  |
//	                               Tunnel: fabric.Link (handshake, liveness, new keys)
//	plane control frames (pump) -->         peer.Exchange (who we are, whom we know)
//	                                 |
//	                                 '--> plane: AddLink, InstallLink, UseLink, RetireLink
//
// The keys live in the packet path, which outlives every actor here. A tunnel
// that faults leaves them there while it restarts, makes new ones, and only then
// takes the old ones away: no packet is lost. Until then standin.go notices where the
// peer falls silent. What it needs for that, its Lease, is the one thing that its
// incarnations share.
//
// A link has an id for life. A peer that restarted, or came back after silence,
// gets a new link. Links end with their manager, which says so; the next one begins
// with the peers and parameters of the last.
//
// Nodes that NATs keep from dialling each other meet: meet.go sends and takes the word,
// over the mesh, to dial at the same time, and watches what peers say of where this node
// is seen (protocols/nat). Links through a NAT are probed often enough for it.
//
// Below a link there may be a tunnel of both kernels, GRE, FOU or WireGuard: below.go has the
// ends agree on it (protocols/ktunnel) and offers the link the path, kernel_actor.go keeps it
// in the kernel (hw/ktunnel), one child actor of the link each. The path carries the link's
// own datagrams, as sealed as by UDP, while it answers. Where both ends trust it, what the two
// nodes send each other goes by it unsealed, by routes of the kernel that stand while the link
// goes by it.
//
// Where this machine has several routers to go through, gateways.go gives each peer that is
// dialled one of them (protocols/firsthop): a host route in the kernel (netlink.HostRoutes) is there
// before the first packet, and goes with the last link to that address.
//
// Where two live nodes have one certificate, duplicate.go tells which is to end.
//
// The driver's duties, that is actors/node's:
//
//  1. spawn the manager with Spawn, and tell it what registry, routing and gateway say;
//  2. carry out its Events: routing over links that are up, asking the registry,
//     newer parameters;
//  3. give Config.Babel the control frames that are Babel's;
//  4. give Config.Kernel an owner's name that is the node's alone on its host;
//  5. with Config.Gateways, tell of every change of the underlay: NetworkChanged, or UnderlaySeen
//     where the addresses are as before.
package tunnel
