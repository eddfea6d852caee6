// Package peer holds what the two nodes of a link tell each other about
// themselves and about others: the bodies of the fabric's control frames of kind
// 5. It is re6stnet's peer-to-peer protocol (its UDP port 326) without the
// polling, on a link that is authenticated already.
//
// The wire. All numbers are big-endian; one message fits one control frame.
//
//	| version 1 | type 1 | epoch 4 | sequence 4 | { TLV type 1 | length 2 | value } ... |
//
//	type  message         says
//	0     Ack             the message of this epoch and sequence has arrived
//	1     Hello           who I am: prefix, static key, endpoints, software, my documents' numbers, carriers
//	2     ObservedAddress where your packets come from
//	3     List            other nodes and where to dial them, by UDP and by TLS
//	4     Offer           I have the signed network parameters of this number
//	5     Request         send me those, from this offset on
//	6     Chunk           here is a part of them
//	7     Goodbye         I move my routes off this link, or back, or I stop
//	8-10  Offer, Request, Chunk of the list of revoked certificates
//	12    Rendezvous      dial me, as I dial you; here and behind such a NAT I am
//	13      its answer    I do; here and behind such a NAT I am
//	16    Claims          what two stores of claims say to become equal: see protocols/claim
//	18    Tunnel          what a tunnel of both kernels is made with: see protocols/ktunnel
//
// A Rendezvous and its answer do not go from one end of a link to the other, but over the mesh from a
// node to one that it cannot dial by itself, in a transit message of the fabric. Nothing
// but the last link proves where such a message comes from: who acts on it must bound
// what it does, and do no more than it would for anybody.
//
// Unknown types are acknowledged and ignored, unknown TLVs skipped.
//
// One Exchange is one end of one link. It has one message under way at a time, and up
// to MaxUnderWay about claims, each repeated until its Ack:
//
//	New ─> Hello ─> ObservedAddress ─> List ...      then only what changes
//	Hello or Offer with a greater number than ours ─> Request ─> Chunk ... ─> Received
//	a message of another epoch than before: the peer began anew, and is told all again
//
// Nothing here is believed for being said: the link proves who speaks, so a Hello
// that contradicts the certificate is an error; endpoints that no node can be
// dialled at are dropped (CheckEndpoint); documents carry the CA's signature, which
// the driver verifies; peers are hearsay, and so bounded.
//
// The driver's duties:
//
//  1. Call New when a link comes up, and drop the Exchange when it goes down.
//  2. Hand each body of kind 5 to HandleMessage; an error is the peer's fault.
//  3. After each call, Drain the events and arm one timer for NextTimeout.
//  4. Send what Send holds, sealed, as kind 5.
//  5. Call HandleSelf, HandleObserved, HandlePeers and HandleDocument when those change;
//     HandlePeers and HandleDocument also once after New.
//  6. Verify Received before it is passed to anybody's HandleDocument.
//  7. Give HandleTunnel what the link's ktunnel.Machine says, and that what TunnelHeard has.
//  8. While it is Idle, give it what a claim.Sync has to say by HandleClaims.
package peer
