// Package lab makes a whole network on one machine: a registry and nodes, each in a
// network namespace of its own and each a process of its own, of the very binary that
// runs the lab. `re6st lab` is its command.
//
//	re6st lab (owner: holds the lock in /run/re6st-lab/ID)
//	  |
//	  |      namespace registry       namespace n1                namespace n2
//	  |     +------------------+  +----------------------+  +----------------------+
//	  +---->| re6st registry   |  | re6st node           |  | re6st node           |
//	  |     |            eth0  |  | TUN <-> mesh <->eth0 |  | TUN <-> mesh <->eth0 |
//	  |     +--------------|---+  +--^--------------|----+  +--^--------------|----+
//	  |                    |         |              |          |              |
//	  |     +--------------|---------|--------------|----------|--------------|----+
//	  |     | namespace  registry    |              n1         |             n2    |
//	  +---->|  router     nft forward chain: neighbors and registry, cuts, losses  |
//	  |     +------------------------|-------------------------|-------------------+
//	  |                              |                         |
//	  +-- prober: raw ICMPv6 sockets, one in each node's namespace, at its mesh address
//
// The underlay is routed: each member has a subnet, 10.0.0.4i/30 and
// fd72:6536:7374:i::/64 (the registry is member 0), and no multicast passes. The
// router lets the packets of the topology's edges through, and those to and from the
// registry. In the topology lan the nodes are ports of one bridge instead, with
// multicast, and the registry is behind it.
//
// A node may be behind a NAT (--nat): a namespace between it and the router, which
// masquerades. Behind each NAT the addresses are the same private ones, of IPv4 alone.
// One of the kind igd maps ports on request, by miniupnpd.
//
//	router -- 10.0.0.4/30 -- [n1-nat] -- 192.168.1.0/24 -- [n1]
//
// One lab from its start to its end:
//
//  1. Open sweeps labs whose owner is dead, then makes namespaces, links and rules.
//  2. Start runs the registry, then for every node `re6st join` with its join line
//     and `re6st node`, and asks the node's control socket for its address. All that
//     is known of the binary's command line and answers is in program.go.
//  3. It is converged when an echo has come back between every ordered pair.
//  4. CMD and the scenario run; each Action goes through Lab.Do, whether it comes from
//     the scenario or, by the control socket, from `re6st lab cut` and the like.
//  5. Close ends the processes and removes all of it. Killed children, a signal, a
//     failed start all lead there; only SIGKILL does not, and then the next Open sweeps.
//
// A scenario is a file of lines, done in their order. A line with a time waits for it
// (counted from the scenario's start), one without follows the line before. Those in
// the folder scenarios are in the binary: `re6st lab run --scenario relay`.
//
//	network ring 8                      # for what it is written, unless flags say otherwise
//	underlay v4 n1                      # n1 has IPv4 alone; also: v6
//	uplinks n1                          # n1 has a second uplink, whose default route is worse
//	nat port-restricted n1 n2           # n1 and n2 are behind a NAT each; also: random, igd
//	babeld n2 n5                        # a machine with babeld, and a cable to babel0 of n2 and of n5
//	config n2 trusted = ["babel0"]      # a line of its configuration, that it has from the start
//	ping n1 n5 every 10ms               # runs from here on, and is reported
//	at 2s cut n1 n2                     # no packet passes; `reject` answers instead
//	expect whole within 2s              # from the last action: every pair whose ends live
//	                                    # and are still joined has answered a new echo
//	at 5s heal n1 n2                    # also ends a loss; heal all
//	expect whole for 1s                 # from the last action no such pair loses an echo
//	at 6s kill n4                       # SIGKILL
//	at 7s start n4
//	at 7s kill registry
//	at 8s loss n1 n2 10%                # also: rate n1 50, restart n4
//	at 8s delay n1 n2 20ms              # each packet of the edge, in either direction; 0s ends it, heal does not
//	at 9s cut path n1 n5                # the link in the middle of the path of now
//	at 9s kill relay n1 n5              # the node there; also: kill all, start all, restart all
//	at 9s forget n4                     # it was killed, and loses the peers that it remembers; also: all
//	at 9s addr n1                       # n1 has other underlay addresses; behind a NAT, the NAT has
//	at 9s uplink n1 1 silent            # no packet passes by it; also: down (no carrier), up
//	at 9s block n1 n2 ours              # a firewall between them drops our datagrams in UDP, by content;
//	                                    # also: quic, udp, tls (TCP 443), all; unblock n1 n2 ours, heal
//	expect carrier n1 n2 quic within 3s # both ends have the link go by that
//	expect ping n1 n5 lost < 3          # so far; also: outage < 1s
//	at 20s disk n1 full                 # also: readonly, ok; of all, or the registry
//	expect status n1 degraded within 8s # also: running, revoked
//	expect join refused within 5s       # one more node asks the registry; also: works
//	at 30s clock n1 +1h                 # its wall clock jumps; also: -1y
//	at 31s revoke n2                    # the registry takes it out of the network for good
//	expect revoked n2 within 2s         # from the last action: all others know, and neither link nor
//	                                    # route leads to it; also: for 10s, it stays so
//	at 33s set client_count=6 mtu=1300  # parameters of the network
//	expect params within 2s             # from the last action: all have them
//	renew n1                            # re6st renew; also: all
//	cut n1 registry v4                  # IPv4 is answered by `host unreachable`, IPv6 passes
//	expect renewed n1 within 20s        # from here on it gets another certificate; also: all
//	config n4 log = "debug"             # takes effect when it starts again; `config n4 none` takes all away
//	config n4 debug_originate = ["{n1.prefix}"] # also: half, address, id, router
//	right n2 import {n5.prefix}         # what the registry lets it announce; also: gateway, none
//	expect safe n1 from n4 for 5s       # no node but n4 has a route into n1's prefixes that ends elsewhere
//	expect event n3 node {n4.id} within 10s # n3 has told, or tells, of an event with that text
//	expect path n3 n1 by n4 within 10s  # packets go by that node
//	expect path n3 n1 direct within 10s # and by none
//	expect peer n3 n1 linked within 10s # also: why n3 has no link with n1, such as same_country
//	link n1 n4                          # the underlay of a line, ring, ... lets them reach each other
//	ping n1 n4 every 1ms for 15s        # and no longer
//	expect answer n3 n1 within 10s      # an echo comes back, sent from here on
//	tap n4                              # captures at n4; where that was done before, anew
//	expect tap n4 reads nothing         # no packet of others on its TUN, none of their echoes in the clear
//	expect tap n4 relayed > 200         # frames, since the tap
//
// After an `expect whole` each pair's longest outage is reported, counted from the
// action to the next one. Outages are as fine as the echoes: 20 to 50 ms.
// The first pairs that did not answer in time are traced.
//
// Where a scenario acts on disks, or with --disks, each folder is a tmpfs of its own.
//
// With --http the lab serves its live page on the loopback (actors/monitor/web), and as
// JSON what the page shows: GET /v1/lab answers a View, made of what the nodes say on
// their control sockets when somebody asks, at most every 250 ms.
//
// `re6st lab chaos` (chaos*.go) hurts a lab by a plan that follows from a seed: chaosplan.go
// draws it, chaosrun.go and chaosfault.go carry it out, chaosworld.go knows which pairs had a
// path and so what was an outage, chaosinquest.go asks silent pairs why, chaostrail.go reads
// the logs, chaosleak.go counts before and after. `re6st lab panics` (panics*.go) has the
// actors of one node panic in turn. `re6st bench` (benchcommand.go) measures a lab beside
// networks of other daemons (rival): routing, each as a contender, and what a line of links
// carries, each as a carrier.
package lab
