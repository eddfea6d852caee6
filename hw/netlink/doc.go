// Package netlink holds the kernel's tables as the mesh needs them: links,
// addresses, routes and their changes, over rtnetlink (RFC 3549).
//
//	            wanted                     actual
//	rib --> []Route --> Table.Reconcile <-- dump --- kernel
//	                      |     only routes with our protocol number
//	                      v
//	        CREATE|EXCL new, REPLACE changed, DELETE leftovers: 128 in a datagram,
//	        each acknowledged, each failure its route's
//
//	kernel --- multicast groups --> Conn.Watch --> func(Event)
//	                   ENOBUFS: dump again, report the difference
//
// A Table owns the routes that carry its protocol number in its routing table,
// and nothing else: a route of another protocol is never replaced or deleted,
// and where it holds a place that we want the answer is ErrForeign. So a route
// that a crashed run left behind is found by its number and removed by the next
// Reconcile, and two networks on one host take two numbers. A Bypass owns the rules
// with its number, by which the packets that carry a mesh stay off the mesh's routes, and
// HostRoutes are those by which some of them go through other routers than the default one.
//
// The caller's duties:
//
//  1. Take a protocol number (RFC 3549 section 3.1.1; iproute2's rt_protos) that no
//     other program of the host uses, and one Table per number and routing table.
//  2. Reconcile with all that is wanted once at the start and after Watch reported
//     that a link went or came; Apply the differences in between.
//  3. Run Watch in a goroutine of its own and end it by its context.
//  4. Close what was opened. A Conn, and so a Table, is for one goroutine at a time
//     except that Watch has a socket of its own and disturbs nobody.
package netlink
