package babel_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2s"

	"re6st/protocols/babel"
)

// The tests are in the order of RFC 8967. Those of RFC 9467, which replaces the
// last step of section 4.3, are in rfc9467_test.go.

var (
	oldKey   = babel.MACKey{ID: "old", Algorithm: babel.HMACSHA256, Value: bytes.Repeat([]byte{7}, 32)}
	newKey   = babel.MACKey{ID: "new", Algorithm: babel.BLAKE2s128, Value: bytes.Repeat([]byte{9}, 32)}
	wrongKey = babel.MACKey{ID: "old", Algorithm: babel.HMACSHA256, Value: bytes.Repeat([]byte{8}, 32)}
	plain    = babel.Encoder{From: peerLL, Max: 1232}.Encode([]babel.TLV{babel.Hello{Seqno: 1, Interval: time.Second}})[0]
)

// macPair is two routers on a link: self opens what peer seals.
type macPair struct {
	t          testing.TB
	now        time.Time
	self, peer *babel.Authenticator
}

func newAuthenticator(t testing.TB, seed int64, local netip.Addr, keys ...babel.MACKey) *babel.Authenticator {
	t.Helper()
	a, err := babel.NewAuthenticator(babel.MACConfig{Keys: keys, Local: local, Rand: rand.New(rand.NewSource(seed))})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newMACPair(t testing.TB) *macPair {
	return &macPair{t, epoch, newAuthenticator(t, 1, selfLL, oldKey), newAuthenticator(t, 2, peerLL, oldKey)}
}

// says has self open a packet of peer's.
func (p *macPair) says(packet []byte, dst netip.Addr, want babel.MACReason) babel.Opened {
	p.t.Helper()
	o := p.self.Open(p.now, packet, peerLL, dst)
	if o.Reason != want || o.Accepted != (want == babel.MACValid) {
		p.t.Errorf("accepted %v, %s; want %s", o.Accepted, o.Reason, want)
	}
	return o
}

// hello is what peer sends to the group.
func (p *macPair) hello() []byte { return p.peer.Seal(plain, netip.Addr{}) }

// prove has peer heard once, and so challenged, and its answer opened.
func (p *macPair) prove() {
	p.t.Helper()
	challenge := p.says(p.hello(), babel.Group, babel.MACNew).Answer
	if challenge == nil {
		p.t.Fatal("no challenge")
	}
	reply := p.peer.Open(p.now, challenge, selfLL, peerLL).Answer
	if o := p.says(reply, selfLL, babel.MACValid); !o.Resync {
		p.t.Error("the driver is not told to say all again")
	}
}

// tlvsOf are the types and bodies of the TLVs in the body, then in the trailer.
func tlvsOf(t testing.TB, packet []byte) (body, trailer [][]byte) {
	t.Helper()
	end := 4 + int(binary.BigEndian.Uint16(packet[2:]))
	walk := func(b []byte) (all [][]byte) {
		for len(b) > 0 {
			n := 2 + int(b[1])
			all, b = append(all, b[:n]), b[n:]
		}
		return all
	}
	return walk(packet[4:end]), walk(packet[end:])
}

// signed is a packet of peer's whose body is as given.
func signed(key babel.MACKey, dst netip.Addr, body ...byte) []byte {
	packet := append([]byte{42, 2, 0, byte(len(body))}, body...)
	pseudo := append(append(append(peerLL.AsSlice(), 0x1a, 0x28), dst.AsSlice()...), 0x1a, 0x28)
	mac := hmac.New(sha256.New, key.Value)
	mac.Write(append(pseudo, packet...))
	return append(append(packet, 16, 32), mac.Sum(nil)...)
}

func Test8967_3_1_KeysThatCannotBe(t *testing.T) {
	a := newAuthenticator(t, 1, selfLL, oldKey)
	key := func(id string, algorithm babel.MACAlgorithm, n int) babel.MACKey {
		return babel.MACKey{ID: id, Algorithm: algorithm, Value: make([]byte, n)}
	}
	five := make([]babel.MACKey, babel.MaxMACKeys+1)
	for i := range five {
		five[i] = key(fmt.Sprint(i), babel.HMACSHA256, 32)
	}
	for name, keys := range map[string][]babel.MACKey{
		"none": {}, "too many": five, "of one id": {oldKey, wrongKey}, "without type": {key("a", 0, 16)},
		"empty": {key("a", babel.HMACSHA256, 0)}, "too long": {key("a", babel.HMACSHA256, 65)}, "too long for it": {key("a", babel.BLAKE2s128, 33)},
	} {
		if err := a.SetKeys(keys); !errors.Is(err, babel.ErrMACKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := a.SetKeys(five[:babel.MaxMACKeys]); err != nil {
		t.Error(err)
	}
}

func Test8967_3_1_AKeyDoesNotShow(t *testing.T) {
	secret := babel.MACKey{ID: "k1", Algorithm: babel.HMACSHA256, Value: []byte("hunter2hunter2")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		got := fmt.Sprintf(format, struct{ K []babel.MACKey }{[]babel.MACKey{secret}})
		if strings.Contains(got, "hunter2") || strings.Contains(got, hex.EncodeToString(secret.Value)) || strings.Contains(got, "104") {
			t.Errorf("%s prints %s", format, got)
		}
		if !strings.Contains(got, "k1 (hmac-sha256)") {
			t.Errorf("%s does not name the key: %s", format, got)
		}
	}
	if err := (babel.MACKey{ID: "k", Algorithm: babel.BLAKE2s128, Value: bytes.Repeat([]byte("hunter2"), 9)}).Check(); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("error %v", err)
	}
}

func Test8967_3_1_AlgorithmsAreReadByName(t *testing.T) {
	for _, want := range []babel.MACAlgorithm{babel.HMACSHA256, babel.BLAKE2s128} {
		var got babel.MACAlgorithm
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%s is read as %s, %v", want, got, err)
		}
	}
	if err := new(babel.MACAlgorithm).UnmarshalText([]byte("md5")); err == nil || !strings.Contains(err.Error(), `"md5"; it is "hmac-sha256" or "blake2s128"`) {
		t.Errorf("error %v", err)
	}
}

func Test8967_4_1_TheMACCoversPseudoHeaderAndPacketWithoutTrailer(t *testing.T) {
	a := newAuthenticator(t, 1, selfLL, oldKey, newKey)
	for _, dst := range []netip.Addr{{}, peerLL} {
		sealed := a.Seal(plain, dst)
		end := 4 + int(binary.BigEndian.Uint16(sealed[2:]))
		if !dst.IsValid() {
			dst = babel.Group
		}
		covered := append(append(append(selfLL.AsSlice(), 0x1a, 0x28), dst.AsSlice()...), 0x1a, 0x28)
		covered = append(covered, sealed[:end]...)
		sha := hmac.New(sha256.New, oldKey.Value)
		sha.Write(covered)
		blake, err := blake2s.New128(newKey.Value)
		if err != nil {
			t.Fatal(err)
		}
		blake.Write(covered)
		want := append(append([]byte{16, 32}, sha.Sum(nil)...), append([]byte{16, 16}, blake.Sum(nil)...)...)
		if !bytes.Equal(sealed[end:], want) {
			t.Errorf("to %s the trailer is\n%x, want\n%x", dst, sealed[end:], want)
		}
	}
}

func Test8967_4_2_EachPacketHasACounterThatGrows(t *testing.T) {
	a := newAuthenticator(t, 1, selfLL, oldKey)
	var index []byte
	for i := range uint32(3) {
		sealed := a.Seal(plain, netip.Addr{})
		body, _ := tlvsOf(t, sealed)
		pc := body[len(body)-1]
		if !bytes.Equal(body[0], plain[4:]) || pc[0] != 17 || binary.BigEndian.Uint32(pc[2:]) != i {
			t.Fatalf("packet %d is %x", i, sealed)
		}
		if index == nil {
			index = pc[6:]
		}
		if len(index) < 8 || !bytes.Equal(index, pc[6:]) {
			t.Errorf("index %x, then %x", index, pc[6:])
		}
	}
	if other, _ := tlvsOf(t, newAuthenticator(t, 2, selfLL, oldKey).Seal(plain, netip.Addr{})); bytes.Equal(other[1][6:], index) {
		t.Error("after a restart the index is the same")
	}
}

func Test8967_4_2_APacketGrowsByTheOverheadAtMost(t *testing.T) {
	var keys []babel.MACKey
	for i := range babel.MaxMACKeys {
		keys = append(keys, babel.MACKey{ID: fmt.Sprint(i), Algorithm: babel.HMACSHA256, Value: []byte{1}})
	}
	if n := len(newAuthenticator(t, 1, selfLL, keys...).Seal(plain, netip.Addr{})); n != len(plain)+babel.MACOverhead {
		t.Errorf("%d bytes for %d", n, len(plain))
	}
}

func Test8967_4_3_OnlyAKeyOpens(t *testing.T) {
	p := newMACPair(t)
	p.prove()
	sealed := p.hello()
	end := len(sealed) - 34
	for name, c := range map[string]struct {
		packet []byte
		dst    netip.Addr
		want   babel.MACReason
	}{
		"without MAC":      {plain, babel.Group, babel.MACMissing},
		"without trailer":  {sealed[:end], babel.Group, babel.MACMissing},
		"another key's":    {newAuthenticator(t, 3, peerLL, wrongKey).Seal(plain, netip.Addr{}), babel.Group, babel.MACWrong},
		"to another":       {sealed, selfLL, babel.MACWrong},
		"from another":     {newAuthenticator(t, 3, selfLL, oldKey).Seal(plain, netip.Addr{}), babel.Group, babel.MACWrong},
		"changed":          {append(append(bytes.Clone(sealed[:8]), sealed[8]^1), sealed[9:]...), babel.Group, babel.MACWrong},
		"a short MAC":      {append(append(bytes.Clone(sealed[:end]), 16, 0), 16, 1, sealed[end+2]), babel.Group, babel.MACWrong},
		"a trailer broken": {sealed[:len(sealed)-1], babel.Group, babel.MACPacket},
		"a longer body":    {append([]byte{42, 2, 255, 255}, sealed[4:]...), babel.Group, babel.MACPacket},
		"another version":  {append([]byte{42, 3}, sealed[2:]...), babel.Group, babel.MACPacket},
		"empty":            {nil, babel.Group, babel.MACPacket},
		"no counter":       {signed(oldKey, babel.Group, plain[4:]...), babel.Group, babel.MACNoCounter},
		"a body broken":    {signed(oldKey, babel.Group, 17, 9, 0), babel.Group, babel.MACPacket},
	} {
		t.Run(name, func(t *testing.T) {
			p.t = t
			if o := p.says(c.packet, c.dst, c.want); o.Answer != nil {
				t.Error("it is answered")
			}
		})
	}
	p.t = t
	p.says(sealed, babel.Group, babel.MACValid)
}

func Test8967_4_3_AnyKeyAndAnyMACOfThePacketWillDo(t *testing.T) {
	p := newMACPair(t)
	p.self = newAuthenticator(t, 1, selfLL, newKey, oldKey)
	p.peer = newAuthenticator(t, 2, peerLL, wrongKey)
	p.says(p.hello(), babel.Group, babel.MACWrong)
	mine := wrongKey
	mine.ID = "mine"
	p.peer = newAuthenticator(t, 2, peerLL, mine, oldKey)
	p.prove()
	if key, ok := p.self.ProvenBy(p.now, peerLL); !ok || key != "old" {
		t.Errorf("proven by %q, %v", key, ok)
	}
	if err := p.peer.SetKeys([]babel.MACKey{newKey}); err != nil {
		t.Fatal(err)
	}
	p.says(p.hello(), babel.Group, babel.MACValid)
	if key, ok := p.self.ProvenBy(p.now, peerLL); !ok || key != "new" {
		t.Errorf("proven by %q, %v", key, ok)
	}
}

func Test8967_4_3_APacketIsAcceptedOnce(t *testing.T) {
	p := newMACPair(t)
	recorded := p.hello()
	p.prove()
	sealed := p.hello()
	p.says(sealed, babel.Group, babel.MACValid)
	for range 2 {
		if o := p.says(sealed, babel.Group, babel.MACOld); o.Answer != nil {
			t.Error("a packet that came twice makes a challenge")
		}
	}
	// What was sealed before this router began it knows nothing of: it challenges.
	p.self = newAuthenticator(t, 3, selfLL, oldKey)
	challenge := p.says(recorded, babel.Group, babel.MACNew).Answer
	p.now = p.now.Add(time.Second)
	p.says(recorded, babel.Group, babel.MACUnanswered)
	// And the peer's answer to the first of both challenges comes too late.
	p.says(p.peer.Open(p.now, challenge, selfLL, peerLL).Answer, selfLL, babel.MACNew)
}

func Test8967_4_3_TheNumberOfNeighborsIsBounded(t *testing.T) {
	self := newAuthenticator(t, 1, selfLL, oldKey)
	hello := func(now time.Time, i int) babel.MACReason {
		from := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)})
		return self.Open(now, newAuthenticator(t, int64(i), from, oldKey).Seal(plain, netip.Addr{}), from, babel.Group).Reason
	}
	for i := range babel.MaxMACPeers {
		if got := hello(epoch, i+1); got != babel.MACNew {
			t.Fatalf("neighbor %d: %s", i, got)
		}
	}
	if got := hello(epoch, babel.MaxMACPeers+1); got != babel.MACPeers {
		t.Errorf("one too many: %s", got)
	}
	if got := hello(epoch.Add(30*time.Second), babel.MaxMACPeers+1); got != babel.MACNew {
		t.Errorf("when the others are forgotten: %s", got)
	}
}

func Test8967_4_3_1_ChallengesAndRepliesAreRare(t *testing.T) {
	p := newMACPair(t)
	challenges, replies := 0, 0
	for range 100 { // 10 ms apart
		if answer := p.self.Open(p.now, p.hello(), peerLL, babel.Group).Answer; answer != nil {
			challenges++
		}
		asked := p.self.Open(p.now, signed(oldKey, selfLL, 18, 2, 5, 5), peerLL, selfLL).Answer
		if asked != nil {
			replies++
		}
		p.now = p.now.Add(10 * time.Millisecond)
	}
	if want := int(time.Second/babel.ChallengeInterval) + 1; challenges != want || replies != want {
		t.Errorf("%d challenges and %d replies in a second, want %d of each", challenges, replies, want)
	}
}

func Test8967_4_3_1_1_AChallengeIsAnsweredByTheLastNonceOnlyAndIn30Seconds(t *testing.T) {
	p := newMACPair(t)
	first := p.says(p.hello(), babel.Group, babel.MACNew).Answer
	body, _ := tlvsOf(t, first)
	if body[0][0] != 18 || len(body[0]) < 10 {
		t.Fatalf("the answer is %x", first)
	}
	reply := append([]byte{19}, body[0][1:]...)
	counter := []byte{17, 12, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8}
	p.now = p.now.Add(29 * time.Second)
	wrong := bytes.Clone(reply)
	wrong[2] ^= 1
	second := p.says(signed(oldKey, selfLL, append(bytes.Clone(counter), wrong...)...), selfLL, babel.MACUnanswered).Answer
	p.says(signed(oldKey, selfLL, append(bytes.Clone(counter), reply...)...), selfLL, babel.MACNew) // to the first
	body, _ = tlvsOf(t, second)
	reply = append([]byte{19}, body[0][1:]...)
	p.now = p.now.Add(30 * time.Second)
	p.says(signed(oldKey, selfLL, append(bytes.Clone(counter), reply...)...), selfLL, babel.MACNew) // too late
}

func Test8967_4_3_1_2_AReplyGoesToWhoAskedByUnicast(t *testing.T) {
	p := newMACPair(t)
	p.prove()
	p.now = p.now.Add(babel.ChallengeInterval) // it was asked just now
	request := []byte{18, 3, 0xa, 0xb, 0xc}
	p.says(signed(oldKey, babel.Group, request...), babel.Group, babel.MACNoCounter)
	if o := p.self.Open(p.now, signed(oldKey, babel.Group, request...), peerLL, babel.Group); o.Answer != nil {
		t.Error("a challenge to the group is answered")
	}
	o := p.self.Open(p.now, signed(oldKey, selfLL, request...), peerLL, selfLL)
	body, _ := tlvsOf(t, o.Answer)
	if !bytes.Equal(body[0], []byte{19, 3, 0xa, 0xb, 0xc}) || body[1][0] != 17 {
		t.Errorf("answered with %x", o.Answer)
	}
	if got := p.peer.Open(p.now, o.Answer, selfLL, peerLL).Reason; got != babel.MACUnanswered {
		t.Errorf("the answer is not sealed for who asked: %s", got)
	}
	if o.Resync {
		t.Error("a packet that may be old makes a neighbor be told all again")
	}
}

func Test8967_4_3_1_3_AReplyThatNobodyAskedForIsIgnored(t *testing.T) {
	p := newMACPair(t)
	reply := append(append([]byte{17, 5, 0, 0, 0, 9, 1, 19, 16}, make([]byte, 16)...), 19, 0)
	p.prove()
	p.says(signed(oldKey, selfLL, reply...), selfLL, babel.MACNew)
	p.now = p.now.Add(babel.ChallengeInterval)
	p.says(signed(oldKey, selfLL, reply...), selfLL, babel.MACNew)
}

func Test8967_4_3_1_ASolvedChallengeIsNotSolvedAgain(t *testing.T) {
	p := newMACPair(t)
	challenge := p.says(p.hello(), babel.Group, babel.MACNew).Answer
	reply := p.peer.Open(p.now, challenge, selfLL, peerLL).Answer
	p.says(reply, selfLL, babel.MACValid)
	p.says(reply, selfLL, babel.MACOld)
}

// Both of a restarted pair need three packets, and no more, to hear each other.
func Test8967_4_3_1_TwoThatBeginHearEachOtherAtOnce(t *testing.T) {
	p := newMACPair(t)
	one := p.says(p.hello(), babel.Group, babel.MACNew).Answer
	two := p.peer.Open(p.now, one, selfLL, peerLL)
	three := p.says(two.Answer, selfLL, babel.MACValid)
	four := p.peer.Open(p.now, three.Answer, selfLL, peerLL)
	if !four.Accepted || !four.Resync || four.Answer != nil {
		t.Errorf("the end of it is %+v", four)
	}
}

func Test8967_4_4_TheIndexIsForgotten(t *testing.T) {
	p := newMACPair(t)
	p.prove()
	p.now = p.now.Add(5*time.Minute - time.Second)
	p.says(p.hello(), babel.Group, babel.MACValid)
	p.now = p.now.Add(5*time.Minute - time.Second)
	p.says(signed(oldKey, babel.Group, plain[4:]...), babel.Group, babel.MACNoCounter) // keeps nothing
	if _, ok := p.self.ProvenBy(p.now, peerLL); !ok {
		t.Error("forgotten too early")
	}
	p.now = p.now.Add(time.Second)
	if _, ok := p.self.ProvenBy(p.now, peerLL); ok {
		t.Error("5 minutes after the last packet it is known yet")
	}
	p.says(p.hello(), babel.Group, babel.MACNew)
}

func Test8967_5_WhileKeysAreBroughtOutAllIsAccepted(t *testing.T) {
	p := newMACPair(t)
	p.self.SetAcceptBad(true)
	for _, packet := range [][]byte{plain, newAuthenticator(t, 3, peerLL, wrongKey).Seal(plain, netip.Addr{})} {
		if o := p.self.Open(p.now, packet, peerLL, babel.Group); !o.Accepted || o.Reason == babel.MACValid || o.Answer != nil {
			t.Errorf("%+v", o)
		}
	}
	// Who has the key is challenged, and proves it, for the time after.
	o := p.self.Open(p.now, p.hello(), peerLL, babel.Group)
	if !o.Accepted || o.Answer == nil {
		t.Fatalf("%+v", o)
	}
	p.self.Open(p.now, p.peer.Open(p.now, o.Answer, selfLL, peerLL).Answer, peerLL, selfLL)
	p.self.SetAcceptBad(false)
	p.says(p.hello(), babel.Group, babel.MACValid)
	p.says(plain, babel.Group, babel.MACMissing)
}

func Test8967_5_KeysAreReplacedWithoutAPacketLost(t *testing.T) {
	p := newMACPair(t)
	p.prove()
	for _, step := range []struct {
		of   *babel.Authenticator
		keys []babel.MACKey
	}{
		{p.self, []babel.MACKey{oldKey, newKey}},
		{p.peer, []babel.MACKey{oldKey, newKey}},
		{p.peer, []babel.MACKey{newKey}},
		{p.self, []babel.MACKey{newKey}},
	} {
		if err := step.of.SetKeys(step.keys); err != nil {
			t.Fatal(err)
		}
		p.says(p.hello(), babel.Group, babel.MACValid)
	}
	p.says(signed(oldKey, babel.Group, 17, 5, 0, 0, 0, 9, 1), babel.Group, babel.MACWrong)
}

func Test8967_5_WhoHadAKeyThatIsGoneHasToProveAnother(t *testing.T) {
	p := newMACPair(t)
	p.prove()
	proven := func(want string) {
		t.Helper()
		if key, ok := p.self.ProvenBy(p.now, peerLL); key != want || ok != (want != "") {
			t.Errorf("proven by %q, %v, want %q", key, ok, want)
		}
	}
	for _, keys := range [][]babel.MACKey{{oldKey, newKey}, {newKey}} {
		proven("old")
		if err := p.self.SetKeys(keys); err != nil {
			t.Fatal(err)
		}
	}
	proven("")
	if err := p.peer.SetKeys([]babel.MACKey{newKey}); err != nil {
		t.Fatal(err)
	}
	p.says(p.hello(), babel.Group, babel.MACValid)
	proven("new")
	other := wrongKey // another value, by the same name
	other.ID, other.Algorithm = "new", babel.BLAKE2s128
	if err := p.self.SetKeys([]babel.MACKey{other}); err != nil {
		t.Fatal(err)
	}
	proven("")
}

func Test8967_6_2_OnlyTheFirstCounterCounts(t *testing.T) {
	p := newMACPair(t)
	o := p.says(signed(oldKey, babel.Group, 17, 5, 0, 0, 0, 9, 1, 17, 5, 0, 0, 0, 8, 2), babel.Group, babel.MACNew)
	body, _ := tlvsOf(t, o.Answer)
	reply := append([]byte{17, 5, 0, 0, 0, 9, 1, 19}, body[0][1:]...)
	p.says(signed(oldKey, selfLL, reply...), selfLL, babel.MACValid)
	p.says(signed(oldKey, babel.Group, 17, 5, 0, 0, 0, 10, 1, 17, 5, 0, 0, 0, 8, 2), babel.Group, babel.MACValid)
	// A neighbor that is known, and asks, had forgotten this router: it missed something.
	if o := p.says(signed(oldKey, selfLL, 17, 5, 0, 0, 0, 11, 1, 18, 1, 7), selfLL, babel.MACValid); !o.Resync || o.Answer == nil {
		t.Errorf("%+v", o)
	}
	index33 := append([]byte{17, 4 + 33, 0, 0, 0, 1}, make([]byte, 33)...)
	p.says(signed(oldKey, babel.Group, index33...), babel.Group, babel.MACNoCounter)
}

func Test8967_6_3_ANonceThatIsTooLongIsNotAnswered(t *testing.T) {
	for n, answered := range map[int]bool{0: true, 1: true, babel.MaxNonce: true, babel.MaxNonce + 1: false} {
		p := newMACPair(t)
		request := append([]byte{18, byte(n)}, make([]byte, n)...)
		if o := p.self.Open(p.now, signed(oldKey, selfLL, request...), peerLL, selfLL); (o.Answer != nil) != answered {
			t.Errorf("%d bytes: answer %x", n, o.Answer)
		}
	}
}

func Test8967_RefusedPacketsAreCountedByReason(t *testing.T) {
	p := newMACPair(t)
	for range 3 {
		p.says(plain, babel.Group, babel.MACMissing)
	}
	p.says(p.hello(), babel.Group, babel.MACNew)
	var got []babel.MACRefused
	p.self.Drain(func(r babel.MACRefused) { got = append(got, r) })
	want := []babel.MACRefused{{From: peerLL, Reason: babel.MACMissing, Count: 3}, {From: peerLL, Reason: babel.MACNew, Count: 1}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v, want %+v", got, want)
	}
	p.self.Drain(func(r babel.MACRefused) { t.Errorf("again %+v", r) })
}

func Test8967_WhatIsNoPacketIsNotSealed(t *testing.T) {
	a := newAuthenticator(t, 1, selfLL, oldKey)
	for _, packet := range [][]byte{nil, {42, 2, 0}, {42, 2, 0, 1}, {42, 1, 0, 0}} {
		if got := a.Seal(packet, netip.Addr{}); got != nil {
			t.Errorf("%x sealed as %x", packet, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	p := newMACPair(f)
	f.Add(p.hello(), false)
	f.Add(signed(oldKey, selfLL, 18, 2, 5, 5), true)
	f.Add([]byte{17, 5, 0, 0, 0, 9, 1, 18, 2, 5, 5, 19, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		p := newMACPair(t)
		p.prove()
		packet := b
		if sign && len(b) <= 255 { // b is the body of one with the right key
			packet = signed(oldKey, selfLL, b...)
		}
		recorded := bytes.Clone(packet)
		for range 2 {
			o := p.self.Open(p.now, packet, peerLL, selfLL)
			if o.Accepted && !sign {
				t.Fatalf("%x is accepted", packet)
			}
			if o.Answer != nil {
				if got := p.peer.Open(p.now, o.Answer, selfLL, peerLL).Reason; got != babel.MACNew && got != babel.MACUnanswered {
					t.Fatalf("the answer %x: %s", o.Answer, got)
				}
			}
			p.now = p.now.Add(babel.ChallengeInterval)
		}
		if !bytes.Equal(packet, recorded) {
			t.Fatal("the packet was changed")
		}
		p.says(p.hello(), babel.Group, babel.MACValid)
	})
}

func Test8967_4_3_1_AfterAChallengeANeighborIsToldAndAskedAll(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	if err := b.router.Originate(b.now, far, 0); err != nil {
		t.Fatal(err)
	}
	b.pass(2 * time.Second)
	b.take()
	b.router.Resync(b.now, babel.NeighborKey{Interface: 1, Addr: babel.Group}) // who is not there
	b.router.Resync(b.now, n)
	b.settle()
	all := b.take()
	if len(of[babel.Hello](all)) != 1 || len(of[babel.IHU](all)) != 1 || len(of[babel.RouteRequest](all)) != 1 || len(updatesOf(all, 1, far)) != 1 ||
		of[babel.Hello](all)[0].Interval == 0 { // which BIRD 2.0.12 takes for 10 ms
		t.Errorf("sent %+v", all)
	}
}
