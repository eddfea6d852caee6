package claim

import (
	"time"

	"re6st/protocols/limit"
)

// Limits of claims and of what neighbors tell of them.
const (
	MaxPrefixes = 64       // of a claim
	MaxSigned   = 10 << 10 // bytes of a claim: a certificate of cert.MaxCertificate and its signature
	MaxClaims   = 8192     // in a Store, one of each node
	HeardBurst  = 2048     // claims that are news heard from one neighbor at once: each takes two signatures to verify
	HeardRate   = 64       // a second after that
	MaxMessage  = 1136     // bytes of a message between two Syncs: it fits a peer message
	Buckets     = 64       // of a Store, by the last byte of the node id

	// DigestInterval is how often two neighbors compare their stores.
	DigestInterval = time.Minute
)

// Limits are those of claims, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "prefixes", Value: MaxPrefixes, Unit: "prefixes", Per: "claim", Beyond: "refused", Test: "TestAClaimHasItsLimits"},
		{Name: "claim", Value: MaxSigned, Unit: "bytes", Per: "claim", Beyond: "refused", Test: "TestAClaimHasItsLimits"},
		{Name: "claims", Value: MaxClaims, Unit: "claims", Per: "node", Beyond: "refused", Test: "TestAFullStoreTakesNoOther"},
		{Name: "message about claims", Value: MaxMessage, Unit: "bytes", Per: "message", Beyond: "refused", Test: "TestMessagesOfLaterVersionsAreSkipped"},
		{Name: "claims heard at once", Value: HeardBurst, Unit: "claims", Per: "neighbor", Beyond: "refused, at a rate", Test: "TestAFloodOfClaimsIsHeldBack"},
		{Name: "claims heard", Value: HeardRate, Unit: "claims/s", Per: "neighbor", Beyond: "refused", Test: "TestAFloodOfClaimsIsHeldBack"},
	}
}
