// Package addr holds the addresses of a re6st network: the network itself, the
// bit strings that are node and community prefixes, node ids and locators.
//
// A network is an IPv6 prefix, written in the serial number of its CA
// certificate behind a leading 1 bit. A node's prefix is a bit string, written
// in its certificate's common name as value/length. Glued together they are the
// node's subnet, once for each range (the network's own, which is the class
// "general", and one for each further traffic class):
//
//	 network 2001:db8:42::/48      node 5/16
//	|<------- 48 bits ------->|<-- 16 -->|<------ 64 bits ------>|
//	 2001 : 0db8 : 0042          0005       0000:0000:0000:0001
//	                          subnet 2001:db8:42:5::/64, address ::1 in it
//
// Inside the fabric a node is known by its node id (8 bytes, in its
// certificate). Its locator is the /128 made of the network's locator range and
// that id: locators are what relays route on, and they never leave the fabric.
//
//	|<--- locator range /64, from the CA's fingerprint --->|<- node id ->|
//
// A network may have a range of IPv4 too. Each node has a share of it, all of one length,
// by a number that the registry gives; what it may announce stands in its certificate:
//
//	 range 10.42.0.0/16    number 5
//	|<---- 16 bits ---->|<-- 8 -->|<- 8 ->|
//	 10 . 42               5         1
//	                    share 10.42.5.0/24, address .1 in it
//
// Everything here is a value: no state, no IO, safe for concurrent use.
package addr
