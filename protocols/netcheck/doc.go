// Package netcheck asks peers what the network between lets through: whether handshakes
// come to them, where from, how fast, and in what size.
//
//	for each target, at the same time:
//
//	question (fabric.Asker) ---> answer ---> question of Largest bytes ---> answer: that is it
//	   | none                                   | none
//	   v                                        v
//	again, Tries times: silent               one of Smallest bytes; then halving what lies between
//
// A question costs a peer no state, and its answer is shorter than it. What the kernel says
// of one (nobody listens there, it is too big, a firewall) counts too, but for sizes: a router's
// word about them is tried before it is believed.
//
// The driver's duties:
//
//  1. Send what Send holds, with the DF bit, from one socket for each family, so that peers see
//     what a NAT makes of one port.
//  2. Give what comes back to HandleDatagram, and what the kernel says to HandleRefused and
//     HandleTooBig.
//  3. Call HandleTimeout at NextTimeout, Drain after each input, until NextTimeout has none;
//     then Results are final.
package netcheck
