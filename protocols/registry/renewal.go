package registry

import (
	"math/rand/v2"
	"time"

	"re6st/protocols/cert"
)

// When a node renews its certificate: from a third of the lifetime left on, spread
// so that those that joined together do not come together.
const (
	renewalLeft   = 3  // a third
	renewalSpread = 12 // the twelfth after that
)

// Pauses between attempts: doubling, and never more than a part of what is left, so
// that the last hours see many attempts.
const (
	RenewalRetryMin  = 10 * time.Second
	RenewalRetryMax  = time.Hour
	renewalRetryLeft = 10
)

// RenewalTime is when a certificate of these dates is to be renewed.
func RenewalTime(notBefore, notAfter time.Time, r *rand.Rand) time.Time {
	lifetime := cert.Lifetime(notBefore, notAfter)
	return notAfter.Add(-lifetime / renewalLeft).Add(time.Duration(r.Int64N(int64(lifetime/renewalSpread) + 1)))
}

// RenewalRetry is how long to wait after so many attempts failed.
func RenewalRetry(now, notAfter time.Time, failures int, r *rand.Rand) time.Duration {
	pause := RenewalRetryMin
	for range failures - 1 {
		if pause = min(2*pause, RenewalRetryMax); pause == RenewalRetryMax {
			break
		}
	}
	if left := notAfter.Sub(now); left > 0 {
		pause = max(min(pause, left/renewalRetryLeft), time.Second)
	}
	return pause - time.Duration(r.Int64N(int64(pause/4)+1))
}
