// Package tunnelplan decides which tunnels a node opens, accepts and closes. It
// is the pure half of actors/tunnel: no sockets, no clock, no goroutines.
//
// It follows re6stnet's rules (choose the peers that routing cannot reach, then
// those that are reachable but far; at most client_count tunnels opened and
// max_clients accepted; replace the least useful one every tunnel_refresh),
// without its faults:
//
//   - the registry is asked at the start and by a node that has no link, with
//     backoff; it is no hub, and a mesh that ever ran starts without it, from the
//     peers that it remembers;
//   - nothing is polled: the next dial starts when the last one ends, and each
//     peer has its own backoff;
//   - a peer that refuses because it is full is left alone, not blacklisted;
//   - one whose links have their driver fail again and again is left alone for a
//     minute, doubling to an hour, whoever dials.
//
// What becomes of one peer:
//
//	         Open                 HandleUp
//	known ----------> dialing ------------------> up ----.
//	 ^  ^                |                         |      | Drain: cost raised,
//	 |  '---- backoff ---' HandleFailed,           |      v wait until no route uses it
//	 |                     HandleRefused           |    draining
//	 '----------- HandleDown ----------------------'------' Close, or Undrain
//
// Limits give way only where routes would be lost. A node whose client_count is
// used up keeps RepairSlots more for peers that no route reaches, and accepts as
// many above max_clients and its free places to open, so that two halves of a mesh that
// are both full still grow together. A link that carries the only route to somewhere (LinkUse.Sole)
// takes no repair slot and is never shed; what is redundant above a limit is
// drained again. Upstream's guess that a node which serves nobody is behind a NAT
// and may open only two is not kept: refusals say so without guessing.
//
// A peer with which much is exchanged over several links gets a link of its own, in places
// that serve nothing else: a shortcut. It is dialled whatever kept the peer from being
// dialled before, tried ever less often where it comes to nothing, and drained and
// closed by who opened it once little has gone by it for some time, whoever's that is. A
// node that is full accepts one by its own measure of the traffic, not by the peer's word.
//
// A peer that does not answer, as a NAT is before it, and that routes lead to, is asked
// over the mesh to dial this node at the same time: each NAT then takes the other's
// datagrams for answers (RFC 5128 section 3.3).
//
//	A                        the mesh                         B
//	| Open: dials B, nobody answers                           |
//	| Meet -- Rendezvous, where A is and behind what NAT ---> | Admit? few at a time
//	| <-- its answer, where B is and behind what NAT --- Meet | Open: dials A
//	| <------------------- both dial ---------------------->  | HandleUp
//
// The word may be forged, so its receiver does no more than a few dials for it, and
// only for a link that it would accept. Where the kinds of NATs say that both may dial
// for ever (nat.Between), they do so every few minutes, and Outlook says why.
//
// The driver's duties:
//
//  1. Call New, then HandlePeers with the remembered peers and HandleTimeout.
//  2. After each call to a Handle method, Drain the events and arm one timer for NextTimeout.
//  3. Answer each Open by exactly one of HandleUp, HandleFailed or HandleRefused; a
//     cancelled one by nothing or by any of them.
//  4. Ask Admit before answering a handshake, and call HandleUp when the link is up.
//  5. Answer Close by HandleDown with Closed.
//  6. On Drain raise the link's cost and tell the peer to do so; on Undrain undo it.
//  7. Call HandleRouting when routes change; at most once a second is often enough.
//  8. Answer AskRegistry by HandlePeers (with no peers if there were none) or HandleRegistryFailed.
//  9. Store what Remember holds, replacing what was stored.
//  10. Send Meet over the mesh as a peer.Rendezvous, and hand in those that come; call
//     HandleNAT when this node learns behind what it is.
//  11. Call HandleTraffic once a second.
package tunnelplan
