// Package class knows the traffic classes of a network and tells the class of
// an address.
//
// The class is in the address: each class has an IPv6 range of its own, and a
// node has one address in each. Source and destination show the class in the
// clear part of every header on every hop, so queueing, policing and marking
// all follow from the prefix.
//
//	destination --Classify--> Class{ID, Range, DSCP} --> hop header, outer DSCP
//
// A Table is immutable: make a new one when the network's parameters change.
// The outer DSCP is the class's, never the inner packet's (RFC 2474, RFC 2983
// section 4.1: otherwise an inner packet could choose its own treatment).
package class
