// Package netcheck examines what the network lets through, from this machine, and judges it
// for people. Nothing on the machine or in the network is changed. No actor runs here: it is for
// `re6st netcheck`, whether a node runs or not.
//
//	Addresses()           ──┐
//	Lookup(host)            ├──> netcheck.Facts ──> Judge ──> []doctor.Finding, Outcome
//	Peers(ctx, PeerConfig)  │
//	the caller's facts    ──┘
//	  │
//	  └── protocols/netcheck: questions to peers, in all sizes, by one UDP socket for each family;
//	      short ones by QUIC and TLS too (hw/carrier)
//
// The caller's duties: add what only it knows (the registry's answer, what the gateway would
// map, what a running node says) to the Facts, and show both.
package netcheck
