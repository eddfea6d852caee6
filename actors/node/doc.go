// Package node is the root of a node's actors: it opens the TUN and the socket,
// starts the packet path, spawns the rest and joins their wires.
//
//	node ----+-- registry   asks the registry for peers
//	         +-- tunnel     chooses peers; one child per link
//	         +-- session    end-to-end handshakes
//	         +-- router     Babel and the routing table; one child per neighbor
//	         +-- trace      traces paths, and answers others' probes
//	         +-- portmap    has the gateway map the node's port
//	         +-- lan        finds nodes on this machine's LANs; one child per interface
//	         +-- subnets    hands parts of the node's prefix to interfaces
//	         +-- tun        keeps the TUN up, and its addresses
//	         +-- underlay   watches how this machine reaches others
//	         +-- monitor    control sockets
//	         +-- http       live page, metrics and events on the loopback, where configured
//
//	tunnel.LinkChanged, LinkDown -> neighbor.Links         neighbor.Reachable   -> tunnel.RoutingChanged
//	trace.Config.Explain         -> neighbor.Explain
//	discovery.Found              -> tunnel.PeersLearned    netlink.Uplink       -> tunnel.NetworkChanged
//	portmap.Changed              -> tunnel.PortMapped, registry.Ask
//	subnet.Attached, Detached    -> neighbor.Offer, Withdraw
//	tunnel.RegistryWanted        -> registry.Ask           registry.Answered    -> tunnel.PeersLearned
//	tunnel.DocumentReceived      -> verified, stored       session.Identified   -> which sources a peer may use
//
// No actor package knows another; this one translates what one emits into what
// the other takes. The packet path belongs to the root and outlives the rest: an
// actor that restarts finds its links, keys and routes still there.
//
// # Configuration
//
// Config is the TOML file of `re6st node --config`; what it leaves out is
// default, or comes from the network's signed parameters. The node's identity
// and state are files in its folder (hw/nodedir): babel.state holds router id and
// sequence number, peers.json the peers to start from when the registry is dead, carriers.json by
// which carriers other than UDP they were reached.
package node
