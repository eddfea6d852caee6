// Package babel is the Babel routing protocol: RFC 8966, with the source-specific
// routes of RFC 9079 (sub-TLV and keys), the MACs of RFC 8967 and the round trips of
// RFC 9616, over sealed links of the fabric and over kernel interfaces, where babeld
// and BIRD are neighbors too.
//
//	  packet, Hello times, fabric's link state
//	                |
//	+---------------v----------------+   one for each neighbor, each may fail alone
//	| Neighbor: decode, check, hello |   (wire_decode.go neighbor.go history.go policy.go)
//	| history, txcost/rxcost, round  |   (cost.go rtt.go)
//	| trip -> cost                   |
//	+---------------+----------------+
//	                | Updates, RouteRequested, SeqnoRequested, AckRequested, CostChanged
//	+---------------v----------------+   one for each node, sole owner of the tables
//	| Router: acquisition table.go   |--> RouteOffered, RouteWithdrawn -> rib.Table
//	|  selection selection.go        |--> Send{interface, to, packet}
//	|  requests request.go           |--> ReserveSeqno{upto}
//	|  updates update.go send.go     |--> Refused{reason, count}
//	|  changes explain.go            |    Explain: why a route is the one it is
//	+--------------------------------+
//
// The life of a destination at a Router:
//
//	          feasible route                lost               10 s
//	unknown ----------------> selected -----------> held ------------> unknown
//	                           ^  |  ^                |   (unreachable)
//	      unfeasible Update:   |__|  |________________|
//	      keep it, ask for a         feasible again: an alternate, or
//	      newer seqno                what a seqno request brought back
//
// # What is ours
//
// Over the fabric each Update carries a mandatory sub-TLV, (topology, egress
// node id), which no other implementation takes; none leaves by a kernel
// interface. The egress is the last node of ours on the way: packets are sealed
// to it. An origin sets itself, and so does who imports from a kernel interface;
// over the fabric it is kept. Nodes announce a locator, /128, for each
// topology; relays follow locators only, and no locator leaves the fabric.
//
// The fabric knows whether a link lives, better and sooner than Hellos do: the
// cost of a fabric link comes from Neighbor.HandleLink, 96 and 1 for each
// millisecond of round trip, and a dead link costs Infinity at once. Kernel
// interfaces follow the 2-out-of-3 rule (appendix A.2.1), or, where they are
// wireless, ETX (A.2.2); on tunnels the round trip, as timestamps tell it, adds a
// penalty (RFC 9616) of up to 5000 unless told otherwise, so that a dozen of the
// worst are as good as none. On the fabric the penalty stays at 1 a millisecond: the
// link's own round trip is at hand without timestamps, and MaxLinkCost times
// MaxDiameter must stay a metric.
//
// Routes that are lost are retracted at once, and a seqno request leaves for
// each unfeasible candidate in the same packet; so a network is whole again
// within round trips, not intervals. A request may go by a link that died a moment
// ago: it is repeated after 0.3 s, doubling, then also to whom the way leads by now,
// and at once when the neighbor that was asked is gone. A selected route that turns unfeasible
// stays in use while the request runs: the other end's feasibility distance
// cannot have grown, so this makes no loop. On a link to one neighbor triggered
// updates are acknowledged, and repeated until they are (section 3.7.2).
//
// What is urgent there goes at once: what is lost, new, or asked for. A mere change of
// metric or next hop waits for others, for half a second at most, and an Ack for 20 ms. And
// a better route that is not feasible, as it lags behind, is asked for the sequence number
// that there is already: a newer one would have all look for their ways anew.
//
// So over the fabric Hellos and full updates are there to make sure, every 128 Hello
// intervals or ten minutes. What their absence would leave undone is done by itself: who
// lost what it had heard asks for all, what is refused takes back what was announced
// before, small changes of a metric are told after 16 s, and better routes that are not
// feasible are asked for when the selected one becomes worse or comes with a newer sequence
// number, when the links to them become better, and for as long as there is none.
//
// # Who may speak
//
// An Authenticator stands before an interface of the kernel whose routers share keys,
// by RFC 8967 with both relaxations of RFC 9467. Babel without it believes
// whoever is on the link.
//
//	Router --Send--> Seal: counter, a MAC by each key --> packet
//	packet --> Open: does a key fit? is the index known, the counter new?
//	            |  yes                       | no
//	            v                            v
//	         Neighbor, Resync         dropped; Answer: challenge, reply
//
// # The driver's duties
//
//  1. Make one Router with the stored router-id and seqno; on ReserveSeqno store
//     Upto durably. Where the store was lost: a new router-id.
//  2. AddInterface for each fabric link (one interface each) and each trusted
//     kernel interface; there, join Group, and hand over only packets from
//     port 6696 and a link-local source, with hop limit 1; send likewise.
//  3. On a link up, or the first packet from an unknown address on a Multicast
//     interface: NewNeighbor and AddNeighbor. Give the Neighbor its packets and, on
//     the fabric, HandleLink(up) at once; hand its events to Router.Handle. On
//     Expired end it too. Where the round trip counts (LinkCost.MeasuresRTT): set
//     Timestamps, call Router.Stamp as the last thing before a packet is signed and
//     sent, and HandleReceived with the time at the socket. When the link is gone,
//     HandleLink(down) and RemoveInterface.
//  4. When a Neighbor faulted: NeighborStale, and make it anew within a second.
//  5. Call HandleTimeout of each machine at its NextTimeout, and Drain after each
//     call of any other method.
//  6. Offer RouteOffered to the rib.Table as OriginBabel; withdraw on
//     RouteWithdrawn. This node's own prefixes: Originate here, and offer them to
//     the table as OriginLocal.
//  7. When certificates are revoked, Revoke; a Router that is made anew is told of
//     all of them at once.
//  8. Where origins are judged (Config.Origins), Rejudge when that has news.
//  9. Where a Router failed and is made anew, Disown what the first announced, once the
//     neighbors have answered the second.
//  10. At shutdown Retract, and send what that drains.
//  11. On an interface with keys Seal each packet last of all, and Open each first of
//     all, before a neighbor is made of its sender. Send the Answer to the sender; where
//     Resync is set, Router.Resync. Leave room: MaxPacket less MACOverhead.
package babel
