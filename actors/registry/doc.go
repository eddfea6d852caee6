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
// A call for updates is held until there is something newer than what the node has,
// also where another process wrote it (PRAGMA data_version, every 250 ms), for up to
// registry.MaxHold; of each node one may wait.
//
//	                  Renew                      Revoke, or the first use of another key
//	present -----------------------> former ------------------------------------> on the CRL
//	   '-- shown in TLS: good as long as it has not ended and is not on the CRL, new or former
//
//	Join:   join line -> keys on disk -> POST /v1/join -> identity on disk -> Member
//	Client: Member -> POST /v1/bootstrap, GET /v1/params, GET /v1/updates; a node's
//	        enquirer and watcher drive it
//	Renew:  Member -> POST /v1/renew -> renewal.json -> the identity's files
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
//  3. See to it that Renew is called by one at a time for a folder, and have what it
//     returns shown: by Client.SetMember, and in handshakes.
//  4. Give the client the node's Dial where its sockets need a mark.
package registry
