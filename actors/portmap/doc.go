// Package portmap is the actor that has the gateway of the default route map the node's
// UDP port, so that peers reach it through a NAT without having been sent to first.
//
//	Config.Gateway (each minute) --+
//	gateway's datagrams (pump) ----+--> portmap.Client --+--> datagrams to the gateway
//	UPnP IGD (pump) ---------------+                     +--> Changed
//
// The machine is protocols/portmap; here is its IO. UPnP IGD is that of the library goupnp,
// bounded: the gateway alone is asked and believed, it may send us nowhere else, and
// its documents have a size.
//
// Where no gateway answers the actor is quiet: most have none. The mapping is given back at
// the end of the node, and is kept while the actor restarts.
//
// The driver's duties, that is actors/node's: spawn it where the configuration wants port
// mapping, tell it that the network changed (NetworkChanged), and announce Changed.
package portmap
