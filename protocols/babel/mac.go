package babel

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// MACConfig is what an Authenticator is made of.
type MACConfig struct {
	Keys []MACKey
	// AcceptBad takes packets in whatever their MAC and counter are, while the keys
	// are brought to the routers of a link one by one (RFC 8967 section 5).
	AcceptBad bool
	// Local is this router's link-local address on the interface.
	Local netip.Addr
	// Rand is read once, for 32 bytes that nobody else may know or have again.
	Rand io.Reader
}

// Authenticator seals what leaves by an interface of the kernel and opens what
// comes in there, by RFC 8967 and both techniques of RFC 9467: who has none of
// the keys is not heard, and nobody hears an old packet again.
//
// Not safe for concurrent use.
type Authenticator struct {
	keys      []macKey
	acceptBad bool
	local     netip.Addr
	random    *rand.ChaCha8
	index     [indexLen]byte
	pc        uint32 // of the next packet
	peers     map[netip.Addr]*macPeer
	refused   [macReasons]int
	from      [macReasons]netip.Addr // who was refused last
}

// NewAuthenticator begins with an index that was never used before.
func NewAuthenticator(cfg MACConfig) (*Authenticator, error) {
	var seed [32]byte
	if _, err := io.ReadFull(cfg.Rand, seed[:]); err != nil {
		return nil, fmt.Errorf("random numbers for Babel's MACs: %w", err)
	}
	a := &Authenticator{acceptBad: cfg.AcceptBad, local: cfg.Local, random: rand.NewChaCha8(seed), peers: map[netip.Addr]*macPeer{}}
	a.renew()
	return a, a.SetKeys(cfg.Keys)
}

// SetKeys replaces the keys. Packets are sealed with each, and opened with any: so a
// new one is added at every router of the link, and then the old one taken away, and
// no packet is lost. On an error, ErrMACKey, the keys stay as they were.
func (a *Authenticator) SetKeys(keys []MACKey) error {
	if err := CheckMACKeys(keys); err != nil {
		return err
	}
	next := make([]macKey, len(keys))
	for i, k := range keys {
		var err error
		if next[i], err = newMACKey(k); err != nil {
			return fmt.Errorf("%w %q: %w", ErrMACKey, k.ID, err)
		}
	}
	for _, p := range a.peers {
		same := func(k macKey) bool { return k.ID == p.key && slices.ContainsFunc(next, k.equals) }
		if !slices.ContainsFunc(a.keys, same) {
			p.key = "" // until a packet of its fits one of the others
		}
	}
	a.keys = next
	return nil
}

// SetAcceptBad is MACConfig.AcceptBad of a running interface.
func (a *Authenticator) SetAcceptBad(accept bool) { a.acceptBad = accept }

// renew draws another index, which makes every neighbor challenge this router.
func (a *Authenticator) renew() {
	_, _ = a.random.Read(a.index[:]) // it has no end
	a.pc = 0
}

// Seal is a packet as it goes to dst, a neighbor, or Group where that is the zero
// Addr: with a packet
// counter, and a MAC by each key. It is at most MACOverhead longer. Nil is what
// was no packet.
func (a *Authenticator) Seal(packet []byte, dst netip.Addr) []byte {
	covered, _, ok := split(packet)
	if !ok || len(covered)-headerLen > math.MaxUint16-MACOverhead {
		return nil
	}
	sealed := append(make([]byte, 0, len(covered)+MACOverhead), covered...)
	sealed = appendTLV(sealed, typePC, binary.BigEndian.AppendUint32(nil, a.pc), a.index[:])
	binary.BigEndian.PutUint16(sealed[2:], uint16(len(sealed)-headerLen))
	if a.pc++; a.pc == 0 {
		a.renew()
	}
	if !dst.IsValid() {
		dst = Group
	}
	pseudo, end := pseudoHeader(a.local, dst), len(sealed)
	for _, k := range a.keys {
		sealed = appendTLV(sealed, typeMAC, k.sum(pseudo, sealed[:end]))
	}
	return sealed
}

// Opened is what becomes of a packet that came in.
type Opened struct {
	Accepted bool // its TLVs may be looked at
	// Reason is why it proves nothing; with MACConfig.AcceptBad it is accepted all
	// the same. MACValid: its sender has a key, and it is new.
	Reason MACReason
	// Answer is a sealed packet to send to the sender's address at once, before
	// any other; nil: none.
	Answer []byte
	// Resync says that until now one of the two had not listened to the other: both
	// have to tell what they told before.
	Resync bool
}

// Open checks a packet that came from src to dst, which is Group or this router's
// address (RFC 8967 section 4.3). Nothing of packet is retained.
func (a *Authenticator) Open(now time.Time, packet []byte, src, dst netip.Addr) Opened {
	src = src.WithZone("")
	o := a.open(now, packet, src, dst.WithZone(""))
	o.Accepted = o.Reason == MACValid || a.acceptBad
	if o.Reason != MACValid {
		a.refused[o.Reason]++
		a.from[o.Reason] = src
	}
	return o
}

func (a *Authenticator) open(now time.Time, packet []byte, src, dst netip.Addr) Opened {
	covered, trailer, ok := split(packet)
	if !ok {
		return Opened{Reason: MACPacket}
	}
	key, reason := a.fits(covered, trailer, src, dst)
	if reason != MACValid {
		return Opened{Reason: reason}
	}
	p := a.peer(now, src)
	if p == nil {
		return Opened{Reason: MACPeers}
	}
	pre, ok := preparse(covered[headerLen:])
	if !ok {
		return Opened{Reason: MACPacket}
	}
	p.key = key
	return a.judge(now, p, pre, src, dst)
}

// fits looks for a key that made one of the MACs (step 1). Each key makes its own
// once, however many the packet has.
func (a *Authenticator) fits(covered, trailer []byte, src, dst netip.Addr) (key string, _ MACReason) {
	var macs [][]byte
	if !eachTLV(trailer, func(typ uint8, b []byte) {
		if typ == typeMAC {
			macs = append(macs, b)
		}
	}) {
		return "", MACPacket
	}
	if len(macs) == 0 {
		return "", MACMissing
	}
	pseudo := pseudoHeader(src, dst)
	for _, k := range a.keys {
		want := k.sum(pseudo, covered)
		if slices.ContainsFunc(macs, func(mac []byte) bool { return subtle.ConstantTimeCompare(mac, want) == 1 }) {
			return k.ID, MACValid
		}
	}
	return "", MACWrong
}

// peer is the entry of src, which is made here where there is none: whoever sends
// this has a key (step 2). Nil: there is no place.
func (a *Authenticator) peer(now time.Time, src netip.Addr) *macPeer {
	p := a.peers[src]
	if p == nil {
		if len(a.peers) >= MaxMACPeers {
			maps.DeleteFunc(a.peers, func(_ netip.Addr, p *macPeer) bool { return p.expire(now) })
		}
		if len(a.peers) >= MaxMACPeers {
			return nil
		}
		p = &macPeer{}
		a.peers[src] = p
	}
	p.expire(now)
	return p
}

// judge tells whether the packet is new, and answers what it asks (steps 3 to 5).
func (a *Authenticator) judge(now time.Time, p *macPeer, pre preparsed, src, dst netip.Addr) (o Opened) {
	var answer []byte
	replied := pre.challenge != nil && !dst.IsMulticast() && !now.Before(p.replyAt)
	if replied {
		p.replyAt = now.Add(ChallengeInterval)
		answer = appendTLV(answer, typeChallengeReply, pre.challenge)
	}
	known := p.index != nil && pre.counted && string(p.index) == string(pre.index)
	counters := &p.unicast
	if dst.IsMulticast() {
		counters = &p.multicast
	}
	switch {
	case !pre.counted:
		o.Reason = MACNoCounter
	case p.solved(pre.replies):
		p.proven(pre.index, pre.pc)
		o.Resync = true
	case !known:
		o.Reason = MACNew
		if !now.Before(p.challengeAt) {
			if p.nonce != nil {
				o.Reason = MACUnanswered
			}
			answer = appendTLV(answer, typeChallengeRequest, a.challenge(now, p))
		}
	case !counters.take(pre.pc):
		o.Reason = MACOld
	}
	if o.Reason == MACValid {
		p.until = now.Add(macExpiry)
		o.Resync = o.Resync || replied
	}
	if answer != nil {
		header := []byte{magic, version, 0, 0}
		binary.BigEndian.PutUint16(header[2:], uint16(len(answer)))
		o.Answer = a.Seal(append(header, answer...), src)
	}
	return o
}

// challenge is a new nonce for p (section 4.3.1.1).
func (a *Authenticator) challenge(now time.Time, p *macPeer) []byte {
	p.nonce = make([]byte, nonceLen)
	_, _ = a.random.Read(p.nonce) // it has no end
	p.answerBy, p.challengeAt = now.Add(challengeExpiry), now.Add(ChallengeInterval)
	return p.nonce
}

// ProvenBy tells whether the neighbor at addr proved that it has one of the keys, and
// names the key that fitted last.
func (a *Authenticator) ProvenBy(now time.Time, addr netip.Addr) (key string, ok bool) {
	p := a.peers[addr]
	if p == nil || p.key == "" || p.index == nil || !now.Before(p.until) {
		return "", false
	}
	return p.key, true
}

// Drain calls do for each reason for which packets were refused since the last call.
func (a *Authenticator) Drain(do func(MACRefused)) {
	for reason, count := range a.refused {
		if count > 0 {
			do(MACRefused{a.from[reason], MACReason(reason), count})
		}
	}
	a.refused = [macReasons]int{}
}
