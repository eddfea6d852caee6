// Package bugreport gathers what a stranger needs to find a fault of a node, in a tar
// file, without its secrets.
//
//	control socket ──> status, peers, tunnels, routes, actors, events, version ──┐
//	/proc, netlink ──> release, kernel routes, sockets ─────────────────────────>├──> scrub ──> tar.gz
//	node's folder  ──> names, sizes, modes; node.toml ──────────────────────────>┘
//
// Private keys are never read. Text is scrubbed of join lines' tokens and of whatever
// looks like a PEM private key. What could not be gathered stands in the report as the
// reason, so that a dead node's report is one too.
//
// The caller's duties: open the file that only its owner may read, and show Write's
// list to the person who will hand it on.
package bugreport
