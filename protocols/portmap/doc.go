// Package portmap asks the gateway of a node for a port: the client of PCP (RFC 6887,
// opcode MAP), of NAT-PMP (RFC 6886), which its messages are of the same port, and
// the plan to go on with UPnP IGD, which the driver speaks, where neither is answered.
//
//	              answered             half of the lifetime
//	PCP ---------------------> mapped -----------------------> the same again
//	 | silence, or a refusal     |
//	NAT-PMP -------------------> | silence to the end of the lifetime: Unmapped
//	 | silence, or a refusal     v
//	UPnP IGD (AskIGD) -------> mapped
//	 | none
//	idle, for 5 minutes to an hour; then PCP again
//
// A gateway that is itself behind a NAT maps a port of a private address, which is of
// no use: that counts as a refusal.
//
// Nothing authenticates a gateway: whoever answers in its name can have this node
// announce an address at which it is not reached. The nonce of PCP keeps those out that
// do not see the request. Peers authenticate each other whatever the address.
//
// The driver's duties:
//
//  1. Call HandleGateway with the gateway of the default route and this node's own
//     address towards it, and again when they change.
//  2. Send what Send holds to port 5351 of the gateway, from that address; give what comes
//     from there, and from nowhere else, to HandleDatagram.
//  3. Answer each AskIGD by HandleIGD; an older one than the last by nothing or by that.
//  4. Announce Mapped; forget it on Unmapped.
//  5. After each call Drain, and arm one timer for NextTimeout.
//  6. Call Release before the end.
package portmap
