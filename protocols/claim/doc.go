// Package claim is what a node says, signed, about the routes that it announces: which
// prefixes, and as which Babel router. With it the others judge whether a route comes
// from who may announce it. The format and the protocol are of this project.
//
// A claim, big-endian:
//
//	| version 1 | sequence 8 | expiry 8 | router-id 8 | prefixes 1 | { prefix } ...
//	| length 2 | certificate | length 2 | signature |
//
//	prefix: flags 1 (1: of any router-id, 2: IPv4) | bits 1 | the bits in whole bytes
//
// The certificate is the node's, and the signature that of its key over a label, the
// CA's fingerprint and all that stands before the signature. So a claim proves itself,
// whoever brings it. Of a node the claim of the greatest sequence counts.
//
// What a claim is worth is decided by the CA: a node may announce its prefix in the
// range of each class, its share of IPv4, its locator, and what a right in the network's signed parameters
// gives it: the way out of the mesh (gateway), or prefixes that it imports from
// elsewhere. Claimed prefixes beyond that grant nothing.
//
//	Update (prefix, router-id, egress)
//	   |
//	   v
//	Store.Judge ── the egress has claimed it and may ──> Proven
//	            ── it lies in the prefix of another ───> Contradicted
//	            ── nobody has said anything ───────────> Unproven
//
// The egress counts, as packets are sealed to it. So who copies a prefix and a
// router-id, but leaves the egress as it is, draws traffic that it cannot read: a claim
// proves ownership, not path.
//
// Neighbors make their stores equal. The one with the greater node id says a digest of
// each of its buckets, every DigestInterval and when the link comes up; then what
// differs goes over, and from then on each claim as it comes:
//
//	greater ── digest ──> smaller
//	greater <── summary of each bucket that differs ── smaller
//	greater ── the claims that the smaller lacks, a request for those that it lacks itself ──> smaller
//	greater <── these ── smaller
//
// # Islands
//
// Claims go by links of the fabric only. Nodes that babeld alone joins are of three sorts:
//
//   - where its part of the way carries their underlay too, they have a sealed link across
//     it, which comes first, and need nothing else;
//   - where it does not, the nodes at its borders import the other side's prefixes, and
//     need the right to: else they are not used (require), or used where the claim of the
//     owner is not known, or where prefix and router-id are the owner's and nothing better
//     leads there (prefer). Packets leave the fabric at the border, in the clear, and
//     whoever lies in between may answer for all that the border may import;
//   - what lies in the prefix of a node whose claim is known, or has another router-id than
//     that claim, is not taken from a border without the right, by neither.
//
// The driver's duties:
//
//  1. Hold one Store, and give it what was verified by Verify only. Sync reads it.
//  2. Make a Sync for each link, and HandlePeer when the other end began (anew).
//  3. Send what Next gives by a way that repeats, and keeps the order where nothing is
//     lost; hand what comes to HandleMessage. Call HandleTimeout at NextTimeout.
//  4. Verify Received, Add it, and tell the Sync of every other link by HandleAdded.
//  5. Expire and Revoke in time; SetRights when the parameters change.
//  6. Have routes judged anew after each change.
package claim
