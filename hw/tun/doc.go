// Package tun opens the TUN device by which the kernel and the packet path hand
// each other IP packets.
//
//	kernel route --> device --Read--> hw/dataplane --> sealed frame
//	kernel stack <-- device <-Write-- hw/dataplane <-- opened frame
//
// A packet is an IP packet (IFF_TUN, IFF_NO_PI; Linux Documentation/networking/tuntap.rst).
// Where the kernel can, it hands over super-packets: the packets of one flow of TCP or UDP,
// not cut yet, and without checksums (IFF_VNET_HDR, TUNSETOFFLOAD); and takes such:
//
//	device --Read--> super-packet --Cutter--> packets
//	device <-WriteSuper-- super-packet <--Joiner-- packets
//
// What a Cutter gives is what the kernel would have sent, and what a Joiner took is what the
// kernel sends where it passes a super-packet on.
//
// A device may have several queues (IFF_MULTI_QUEUE), each a Device with a reader of its own:
//
//	          +--> queue 0 --Read--> one goroutine
//	kernel ---+    by the flow
//	          +--> queue 1 --Read--> another
//
// The packets of a flow come by one queue: by the one that the kernel's hash of its addresses
// and ports names, or by the one that a packet of it was written to last. Spread writes
// packets to the queue that their answers come by, so that a flow stays where it is. Such
// a device belongs to our user: others, unless they have CAP_NET_ADMIN, cannot attach to a
// queue. That it is a new one, and that all its queues are ours, is made sure of.
//
// The device is not persistent: it, its addresses and its routes go with the process. The
// kernel gives it no link-local address (addr_gen_mode none): the mesh has no use for one.
//
// The caller's duties:
//
//  1. Have CAP_NET_ADMIN, and be in the network namespace where the device shall
//     be: Open runs on the calling goroutine's thread.
//  2. Give the device its addresses and routes (hw/netlink).
//  3. Have one goroutine read into MTU bytes or more, and into SuperRoom where Support tells
//     of super-packets. Any number may write.
//  4. Close: it unblocks the reader, which gets os.ErrClosed. Each queue is closed by itself.
package tun
