// Package rib is the routing table that all route sources share: one best
// route for each (topology, destination prefix, source prefix).
//
//	babel --+                       +--> hw/dataplane: Lookup, Relay (per packet)
//	bgp   --+--Offer--> Table --View+--> hw/netlink:   Diff(old, new), then program
//	own   --+  Withdraw   |         +--> status:       Routes
//	                      +--Change--> re-announcement by babel, bgp
//
// A Table has a single owner, who is told of each change. A View is an
// immutable snapshot of it: making one costs nothing, as tables and views share
// what did not change (the tries are copied along the path of a change only),
// and any number of goroutines may read it.
//
// Among several offers for one key the best has the lowest Origin, then the
// lowest metric. Lookups are source-specific as RFC 9079 section 4 asks:
// longest destination first, and the longest source that covers the packet
// among the routes to that destination; where none covers it, the next shorter
// destination.
//
// Inside the fabric packets follow locators (the /128 of a node in the
// network's locator range). Routes to locators are looked up by (topology,
// node id) with Relay and never with Lookup: a locator is no address of a
// packet.
//
// The owner's duties:
//
//  1. create the Table with the network's locator range;
//  2. Offer and Withdraw what each source says, under its Origin;
//  3. after a batch of changes hand View to the readers (one atomic pointer).
package rib
