package babel

import (
	"crypto/sha256"
	"time"
)

// Limits. What goes beyond is dropped, and said by a Refused event.
const (
	MaxNeighbors         = 256   // of a Router
	MaxRoutes            = 65536 // of a Router, not counting its own
	MaxRoutesPerNeighbor = 16384
	MaxSources           = 65536
	MaxSourcesOfPrefix   = 512
	MaxRequests          = 16384 // pending seqno requests
	MaxChanges           = 4096  // of selected routes that are remembered, for Explain; each takes 200 bytes
	MaxPacket            = 65507 // bytes
	MinPacket            = 512   // bytes; every receiver has to take that much (RFC 8966 section 4)
	UpdateRate           = 2000  // updates a second sent to one interface, of about 40 bytes
	UpdateBurst          = 8192  // at once, at the pace of the neighbor's acknowledgments
	UpdateBurstUnheard   = 1000  // at once, where none are asked for
	MaxUnacknowledged    = 512   // updates that may wait for their first acknowledgment; the neighbor's queue has room for them
	DefaultPacket        = 1232  // bytes: the IPv6 minimum MTU less IPv6 and UDP headers
)

// Timers and counts (RFC 8966 appendix B, except where marked as ours).
const (
	HelloInterval   = 4 * time.Second
	ihuHellos       = 3                      // IHUs go with every third Hello
	firstHello      = time.Minute            // ours: a neighbor that promised no Hello by then is forgotten
	updateHellos    = 4                      // the update interval in hello intervals
	fabricHellos    = 128                    // ours: the same on links of the fabric, whose updates are acknowledged
	maxInterval     = 10 * time.Minute       // ours: of those updates, and of Hellos there
	ihuHold         = 3.5                    // IHU intervals
	routeExpiry     = 3.5                    // update intervals
	routeAsk        = 3.0                    // update intervals: when a selected route is asked for lest it expires (section 3.8.2.3)
	sourceGC        = 3 * time.Minute        // after the last update that was sent for it
	requestTimeout  = 300 * time.Millisecond // ours: before the first resend, doubling; a link that died takes 0.7 s to be noticed
	requestTries    = 5                      // ours: resends of a seqno request
	requestHops     = 64                     // hop count of our own seqno requests
	dumpSpacing     = time.Second            // ours: between full updates on request
	seekDelay       = 300 * time.Millisecond // ours: at least, before better ways than one that became worse are asked for
	driftDelay      = 16 * time.Second       // ours: at most, for a change of metric that is not significant, where full updates are rare
	urgentDelay     = 20 * time.Millisecond  // ours: at most, to gather what comes of one event
	triggeredDelay  = 200 * time.Millisecond // ours: at most, for a mere change of metric, or of the next hop
	patientDelay    = 500 * time.Millisecond // ours: the same on links of the fabric
	updateGap       = 200 * time.Millisecond // ours: between two bursts of updates that are too many for one
	ackDelay        = 20 * time.Millisecond  // ours: at most, for an Ack to wait for company; far less than repeatDelay
	repeatDelay     = 300 * time.Millisecond // ours: before an update is repeated; doubling
	retractionSends = 3                      // a retraction is sent so often where it is not acknowledged (section 3.7.2)
	aboveUpdates    = 8                      // ours: other TLVs that may stand in one packet with them
	eventsKept      = 512                    // ours: events for which room is kept between two calls of Drain
	tlvsKept        = 64                     // ours: the same of an interface's and of a neighbor's TLVs
	ackUpdates      = 16                     // ours: updates that share an acknowledgment, few enough for one packet of DefaultPacket
	holdTime        = 10 * time.Second       // ours: how long a lost prefix is unreachable (section 2.8)
	rttWindow       = 4                      // ours: samples of the round trip of which the least counts
	rttExpiry       = 3 * time.Minute        // ours: without a sample the round trip is forgotten, unless IHUs are rarer
	maxTimestampAge = 3 * time.Minute        // ours: of a timestamp that comes back; beyond it a clock began anew (RFC 9616 section 3.3)
	maxRTT          = time.Minute            // ours: that a penalty can be for
	staleTime       = time.Second            // ours: how long a restarting neighbor keeps its routes
	seqnoBlock      = 64                     // ours: how many sequence numbers are reserved ahead
)

// Costs. A link of the fabric costs at most MaxLinkCost, so that a path of MaxDiameter of the
// worst links still has a finite metric: 64 * 996 < 65535.
const (
	BaseCost    = 96  // of a wired link (appendix A.2.1) and of a fabric link without delay
	maxRTTCost  = 900 // ours: 1 per millisecond of round trip, up to this
	MaxLinkCost = BaseCost + maxRTTCost
	MaxDiameter = 64
)

// A metric has to differ by this much to be announced before its time.
const significant = 64

// smoothingHalfLife is that of the smoothed metric (appendix A.3).
const smoothingHalfLife = 4 * time.Second

// MAC authentication (RFC 8967, RFC 9467).
const (
	MaxMACKeys        = 4                                             // of an interface: two while one takes the other's place
	MaxMACPeers       = 256                                           // neighbors that an Authenticator keeps track of
	MaxMACIndex       = 32                                            // bytes (RFC 8967 section 3.1)
	MaxNonce          = 192                                           // bytes of a challenge (section 6.3)
	MACOverhead       = 2 + 4 + indexLen + MaxMACKeys*(2+sha256.Size) // bytes that Seal adds, at most
	ChallengeInterval = 300 * time.Millisecond                        // between two challenges of one neighbor, and two replies to it
	PCWindow          = 128                                           // how far behind the highest a packet counter may be (RFC 9467 section 3.2)
	challengeExpiry   = 30 * time.Second                              // section 4.3.1.1
	macExpiry         = 5 * time.Minute                               // an index is forgotten so long after the last packet (section 4.4)
	indexLen          = 8                                             // ours, bytes
	nonceLen          = 16                                            // ours, bytes
)
