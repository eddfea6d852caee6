// Package registry is the registry service and its client: the CA, the prefixes,
// the tokens and the parameters of a network in one SQLite database, the v1 API
// of protocols/registry over HTTPS, and the identity that a node keeps on disk.
//
//	                     actor (restarted, escalates)
//	                       | pump serve           | pump housekeeping: hourly
//	 TLS 1.3               v                      v
//	node --> listener --> handler --> service --> Store (SQLite, WAL, synchronous FULL)
//	         connections  rates       join          ^
//	         per source   per source  bootstrap     | the commands init, token, nodes, params:
//	                      and node    params        | other processes, at any time
//
//	Join:   join line -> keys on disk -> POST /v1/join -> identity on disk -> Member
//	Client: Member -> POST /v1/bootstrap, GET /v1/params; a node's enquirer drives it
//
// A handler that panics answers 500 and ends nothing else. A database that cannot
// be written answers 503 to who wants to join, while bootstrap and parameters are
// still served from what was read. Everything that was acknowledged is in the
// database: there is no other state but the peers' table, which is read from it
// at the start.
//
// Whoever may read the database file may sign as the CA: it is made with mode
// 0600 in a folder of mode 0700. SQLite's own backup of that file is a whole
// backup of the registry.
//
// What the driver has to do:
//
//  1. Spawn the actor under its system; Config.Emit is called from several
//     goroutines.
//  2. Take an escalation as the end: the service cannot do without its listener.
//  3. Give the client the node's Dial where its sockets need a mark.
package registry
