package peer

import "time"

// Limits and times of an Exchange.
const (
	MaxTold   = 128  // peers told to one neighbor
	MaxNoted  = 1024 // peers of which it is kept in mind that a neighbor knows them
	MaxBurst  = 512  // peers heard from one neighbor at once
	HeardRate = 2    // peers a second that it may tell after that

	RetryMin  = 500 * time.Millisecond // until a message is repeated, doubling
	RetryMax  = 8 * time.Second
	MaxTries  = 8               // then a message is given up; the link will tell by itself that it is dead
	PeersHold = 2 * time.Second // between two rounds of news about peers
)
