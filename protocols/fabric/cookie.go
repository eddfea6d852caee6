package fabric

import (
	"crypto/subtle"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/blake2s"

	"re6st/protocols/addr"
)

const (
	// CookieEpoch is for how long cookies are made with one secret. They are
	// good until the end of the next epoch.
	CookieEpoch = 60 * time.Second
	// MaxSeenInitiations is how many initiations one epoch remembers. One more
	// begins a new epoch: so a replay is always either remembered or without a
	// valid cookie.
	MaxSeenInitiations = 4096
)

// source is who a handshake message came from, or goes to: an address for links,
// a node for sessions.
type source struct {
	addr    netip.AddrPort
	local   Local
	carrier Carrier
	node    addr.NodeID
}

func (p Path) source() source { return source{addr: p.Remote, local: p.Local, carrier: p.Carrier} }

func (s source) path() Path { return Path{Local: s.local, Remote: s.addr, Carrier: s.carrier} }

func (s source) bytes() []byte {
	a := s.addr.Addr().As16()
	b := append(a[:], byte(s.addr.Port()>>8), byte(s.addr.Port()))
	return append(b, s.node[:]...)
}

// cookie proves that its bearer got it at its address. Zero is none.
type cookie [cookieLen]byte

// keptCookie is one that may serve another handshake with the same node.
type keptCookie struct {
	cookie
	came time.Time
}

// isFresh tells whether it is surely good still, if the epochs had their time.
func (k keptCookie) isFresh(now time.Time) bool {
	return k.cookie != (cookie{}) && now.Sub(k.came) < CookieEpoch
}

// macKey keys the MAC on the messages that are read before Noise: who does not
// know the network's CA gets no answer.
type macKey [keyLen]byte

const labelMAC = "re6st fabric v1 handshake mac\x00"

func newMACKey(fingerprint [32]byte) macKey {
	return blake2s.Sum256(append([]byte(labelMAC), fingerprint[:]...))
}

func (k macKey) sum(parts ...[]byte) (mac [handshakeMACLen]byte) {
	h := newMAC(k[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(mac[:0])
	return mac
}

// isMarked tells whether the MAC at the end of m is right.
func (k macKey) isMarked(m []byte, more ...[]byte) bool {
	end := len(m) - handshakeMACLen
	if end < 0 {
		return false
	}
	mac := k.sum(append([][]byte{m[:end]}, more...)...)
	return subtle.ConstantTimeCompare(mac[:], m[end:]) == 1
}

// Marked returns what tells whether a TypeInitiation carries the MAC of the network
// with that CA: a check to make before a datagram costs anything else.
func Marked(fingerprint [32]byte) func(datagram []byte) bool {
	key := newMACKey(fingerprint)
	return func(datagram []byte) bool { return key.isMarked(datagram) }
}

// jar makes cookies and checks them without state per address, and remembers the
// initiations of the time in which a cookie is good.
type jar struct {
	rand              io.Reader
	current, previous epoch
}

type epoch struct {
	secret macKey
	began  time.Time // zero: there is none
	seen   map[[keyLen]byte]struct{}
}

// turn begins a new epoch where it is time.
func (j *jar) turn(now time.Time) error {
	switch age := now.Sub(j.current.began); {
	case j.current.began.IsZero() || age >= 2*CookieEpoch:
		j.current = epoch{}
		return j.rotate(now)
	case age >= CookieEpoch:
		return j.rotate(now)
	}
	return nil
}

func (j *jar) rotate(now time.Time) error {
	next := epoch{began: now, seen: make(map[[keyLen]byte]struct{})}
	if _, err := io.ReadFull(j.rand, next.secret[:]); err != nil {
		return fmt.Errorf("fabric: secret for cookies: %w", err)
	}
	j.previous, j.current = j.current, next
	return nil
}

// mint is the cookie for from.
func (j *jar) mint(now time.Time, from source) (cookie, error) {
	if err := j.turn(now); err != nil {
		return cookie{}, err
	}
	return j.current.bake(from), nil
}

// accepts tells whether c was made for from, in this epoch or the one before.
func (j *jar) accepts(now time.Time, from source, c cookie) bool {
	if c == (cookie{}) || j.turn(now) != nil {
		return false
	}
	for _, e := range []*epoch{&j.current, &j.previous} {
		if want := e.bake(from); !e.began.IsZero() && subtle.ConstantTimeCompare(want[:], c[:]) == 1 {
			return true
		}
	}
	return false
}

func (e *epoch) bake(from source) cookie { return e.secret.sum(from.bytes()) }

// knows tells whether an initiation with this ephemeral key was remembered.
func (j *jar) knows(ephemeral [keyLen]byte) bool {
	_, a := j.current.seen[ephemeral]
	_, b := j.previous.seen[ephemeral]
	return a || b
}

// remember keeps the ephemeral key of an initiation that was believed.
func (j *jar) remember(now time.Time, ephemeral [keyLen]byte) error {
	if len(j.current.seen) >= MaxSeenInitiations {
		if err := j.rotate(now); err != nil {
			return err
		}
	}
	j.current.seen[ephemeral] = struct{}{}
	return nil
}
