package peer

import "time"

// Limits and times of an Exchange.
const (
	MaxTold   = 128  // peers told to one neighbor
	MaxNoted  = 1024 // peers of which it is kept in mind that a neighbor knows them
	MaxBurst  = 512  // peers heard from one neighbor at once
	HeardRate = 2    // peers a second that it may tell after that

	MaxUnderWay = 32 // messages about claims that wait for their Acks at a time
	// aheadOfAck is how many messages may be said after one that has no Ack; the receiver
	// knows of 64 whether it has heard them, and a few may not be about claims.
	aheadOfAck = 48

	RetryMin  = 500 * time.Millisecond // until a message is repeated, doubling
	RetryMax  = 8 * time.Second
	MaxTries  = 8               // then a message is given up; the link will tell by itself that it is dead
	PeersHold = 2 * time.Second // between two rounds of news about peers
)
