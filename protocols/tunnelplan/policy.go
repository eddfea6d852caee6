package tunnelplan

import (
	"math/rand/v2"
	"time"
)

// Limits of the planner.
const (
	MaxPeers      = 1024 // peers known
	MaxRemembered = 200  // peers stored for the next start
	MaxEndpoints  = 8    // addresses kept for one peer
	MaxLANLinks   = 8    // links to peers of local networks, beside the limits
	MaxLinks      = 512  // links of any kind, whatever routes they save
	RepairSlots   = 2    // links beyond each limit, for peers that no route reaches
	DialAhead     = 2    // dials in flight beyond the free places, while there is no link
	MaxDials      = 64   // dials in flight
	MeetBurst     = 16   // dials at once because peers asked for them
	MeetRate      = 2    // of them a second, after that
	MeetTries     = 2    // times that a peer is asked during one dial
	MaxShortcuts  = 16   // links for traffic, whatever the limits say
)

// Times of the planner. Backoffs double from their minimum to their maximum and
// are spread by a quarter either way.
const (
	BackoffMin = 500 * time.Millisecond // after a dial failed
	BackoffMax = 5 * time.Minute
	MetMin     = 30 * time.Second // instead of BackoffMin, where both ends dialled in vain that never had a link
	RefusedMin = 5 * time.Second  // after a peer was full
	AloneMin   = time.Second      // instead of RefusedMin, of a node that has no link
	LostMax    = 5 * time.Second  // instead of BackoffMax, for LostFor after a link was lost, while no route reaches its peer
	LostFor    = 10 * time.Minute

	RegistryMin  = time.Second // between questions to the registry, while there is no link
	RegistryMax  = time.Minute
	RegistryIdle = time.Hour // while there are links, but fewer than wanted and nobody to dial

	ShunMin = time.Minute // after what drove a link failed again and again, doubling
	ShunMax = time.Hour

	RepairDelay = time.Second            // for routes to settle, before a repair
	RepairMin   = 500 * time.Millisecond // between repair dials that fail
	RepairMax   = 30 * time.Second
	RecentPeer  = 24 * time.Hour // repairs are for peers that were seen alive since

	SlowDial      = time.Second             // then a dial no longer keeps others from starting
	SlowDialAlone = 200 * time.Millisecond  // the same, of a node that has no link
	DialTimeout   = 30 * time.Second        // a dial of which nothing is heard has failed
	DrainMin      = 2 * time.Second         // for the other end to move its routes
	DrainTimeout  = time.Minute             // then the link is kept
	SettleTime    = 30 * time.Second        // a younger link is not judged
	RememberDelay = time.Second             // to store several peers at once
	MeetDelay     = 200 * time.Millisecond  // for a dial to be answered, before the peer is asked to dial too
	MeetAgain     = 1500 * time.Millisecond // between two times
	MeetInterval  = time.Second             // between words of one peer that are heeded
	LANLifetime   = 2 * time.Minute         // a peer is on the LAN until that long after it was heard there
)

// Shortcuts. They are made for traffic that would go by ShortcutAway links or more, of a
// rate that stays at Limits.ShortcutRate or above for ShortcutDelay; they are let go once
// they carry less than 1/ShortcutCalm of it for Limits.ShortcutIdle.
const (
	ShortcutAway  = 2
	ShortcutCalm  = 4
	ShortcutDelay = time.Second
	ShortcutMin   = 5 * time.Second // between two to one peer; doubling, where the last came to nothing
	ShortcutMax   = 10 * time.Minute
	// PacketWorth is what a packet counts for at least, in bytes: a relay's work is by the packet.
	PacketWorth = 256
	// loadMemory is how long past traffic counts for the rate.
	loadMemory = 1500 * time.Millisecond
)

// Limits are the network's parameters for tunnels.
type Limits struct {
	// ClientCount is how many links to open; 0: none but to the LAN.
	ClientCount int
	// MaxClients is how many links to accept; 0: none but from the LAN.
	MaxClients int
	// TunnelRefresh is the time after which the least useful opened link is replaced; 0: never.
	TunnelRefresh time.Duration
	// LANLinks is how many links to peers of local networks there may be beside those,
	// MaxLANLinks at most; 0: none.
	LANLinks int
	// Shortcuts is how many links there may be beside those to peers with which this node
	// exchanges much, MaxShortcuts at most; 0: none, as with a ClientCount of 0.
	Shortcuts int
	// ShortcutRate is how much that is, in bytes a second, both ways.
	ShortcutRate int
	// ShortcutIdle is how long a shortcut carries little before it is let go.
	ShortcutIdle time.Duration
}

// lanLinks is LANLinks within its bounds.
func (l Limits) lanLinks() int { return min(l.LANLinks, MaxLANLinks) }

// shortcuts is Shortcuts within its bounds.
func (l Limits) shortcuts() int {
	if l.ClientCount == 0 {
		return 0
	}
	return min(l.Shortcuts, MaxShortcuts)
}

// DefaultLimits are the defaults of a re6st network.
var DefaultLimits = Limits{
	ClientCount: 10, MaxClients: 20, TunnelRefresh: 300 * time.Second, LANLinks: MaxLANLinks,
	Shortcuts: 4, ShortcutRate: 64000, ShortcutIdle: 120 * time.Second,
}

func backoff(r *rand.Rand, least, most time.Duration, failures int) time.Duration {
	d := least
	for range failures {
		if d *= 2; d >= most {
			d = most
			break
		}
	}
	return spread(r, d, 4)
}

// spread is d, by up to 1/part more or less.
func spread(r *rand.Rand, d time.Duration, part int64) time.Duration {
	n := int64(d) / part
	if n <= 0 {
		return d
	}
	return d - time.Duration(n) + time.Duration(r.Int64N(2*n+1))
}
