package fabric

import "iter"

// dropReason is why a handshake message was dropped in silence.
type dropReason uint8

// In the order of their names.
const (
	dropNone        dropReason = iota
	dropAuth                   // Noise says no
	dropBinding                // the static key is not the certificate's
	dropCertificate            // not of this network, or not valid now
	dropCookie                 // of another address or too old, where no retry is due
	dropDeferred               // to be answered when it comes again
	dropFragment               // contradicts others, or too many
	dropFull                   // too many half-open handshakes
	dropIndex                  // no such handshake here
	dropMAC                    // not keyed by this network's CA
	dropMalformed              // fields or lengths
	dropPeer                   // not the node that was dialled, or that speaks
	dropRandom                 // the source of randomness failed
	dropRate                   // too many handshakes
	dropReplay                 // an initiation that was seen before
	dropRevoked                // the peer's certificate was revoked
	dropSelf                   // this node's own certificate
	dropSuite                  // no common cipher suite

	dropReasons // how many
)

var dropNames = [dropReasons]string{
	"", "auth", "binding", "certificate", "cookie", "deferred", "fragment", "full", "index", "mac", "malformed",
	"peer", "random", "rate", "replay", "revoked", "self", "suite",
}

// Drops counts the handshake messages that were dropped, by reason.
type Drops struct{ counts [dropReasons]uint64 }

func (d *Drops) add(r dropReason) {
	if r != dropNone {
		d.counts[r]++
	}
}

// All is every reason with its count, sorted by name.
func (d Drops) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for r := dropNone + 1; r < dropReasons; r++ {
			if !yield(dropNames[r], d.counts[r]) {
				return
			}
		}
	}
}
