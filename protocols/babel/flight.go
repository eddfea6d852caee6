package babel

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// flight is updates that were sent together, and are to be sent again: on a link to one
// neighbor until they are acknowledged (section 3.7.2), elsewhere a few times.
type flight struct {
	opaque       uint16 // of the AckRequest that went with them
	sent         uint8  // how often
	destinations []uint32
	at           time.Time // when they were sent last
	again        time.Time // when they are sent again
}

// acknowledges tells whether there is one neighbor whose Acks say that an
// update arrived (section 3.7.2).
func (i *iface) acknowledges() bool { return i.PointToPoint && !i.Multicast }

// room is how many updates more may be on their way. What the neighbor acknowledges
// makes room for the next: they go as fast as it takes them.
func (i *iface) room() int {
	if !i.acknowledges() {
		return i.burst()
	}
	if room := MaxUnacknowledged - i.inFlight; room >= MaxUnacknowledged/4 {
		return room
	}
	return 0 // to look for the next takes time: by many at once
}

// sendFresh sends n updates at most that were not sent yet; true: others have to wait.
func (r *Router) sendFresh(now time.Time, i *iface, n int) (late bool) {
	room := i.room()
	if n = min(n, room); n <= 0 {
		return room > 0
	}
	if i.patient.count > 0 && !now.Before(i.patientAt) {
		i.patient.clear()
	}
	r.ids = i.fresh.appendWithout(&i.patient, r.ids[:0])
	ids := r.ids
	if len(ids) > n {
		r.fewestFirst(ids)
		ids, late = ids[:n], room > n
	}
	slices.SortFunc(ids, r.byOrigin)
	for chunk := range slices.Chunk(ids, ackUpdates) {
		for _, id := range chunk {
			i.fresh.put(id, false)
			i.land(id)
		}
		r.fly(now, i, flight{destinations: slices.Clone(chunk)})
	}
	i.freshAt = now // of those that are left
	return late
}

// byOrigin orders destinations so that the updates of one router-id share its TLV.
func (r *Router) byOrigin(a, b uint32) int {
	x, y := r.destinations[a].told.origin(), r.destinations[b].told.origin()
	return cmp.Or(bytes.Compare(x[:], y[:]), cmp.Compare(a, b))
}

// fly sends updates of some destinations, and keeps those that are to be sent again.
func (r *Router) fly(now time.Time, i *iface, f flight) {
	f.sent = min(f.sent+1, 64)
	start, kept := len(r.scratch), f.destinations[:0]
	for _, id := range f.destinations {
		d := r.destinations[id]
		again := r.put(now, i, d) && (i.acknowledges() || f.sent < i.sends[id])
		if i.flying.put(id, again); again {
			kept = append(kept, id)
		} else {
			r.settled(i, d)
		}
	}
	r.enqueue(i, r.scratch[start:])
	if f.destinations = kept; len(kept) == 0 {
		return
	}
	delay := repeatDelay << min(f.sent-1, 16)
	if i.acknowledges() {
		i.opaque++
		f.opaque = i.opaque
		i.queue = append(i.queue, AckRequest{f.opaque, repeatDelay})
		delay = min(delay, updateHellos*i.HelloInterval)
		if f.sent == 1 {
			i.inFlight += len(kept)
		}
	}
	f.at, f.again = now, now.Add(delay)
	if len(i.flights) == 0 || f.again.Before(i.repeatAt) {
		i.repeatAt = f.again
	}
	i.flights = append(i.flights, f)
}

// land takes a destination out of its flight, if it is in one: there is news of it.
func (i *iface) land(id uint32) {
	if !i.flying.has(id) {
		return
	}
	i.flying.put(id, false)
	for k := range i.flights {
		f := &i.flights[k]
		if at := slices.Index(f.destinations, id); at >= 0 {
			f.destinations = slices.Delete(f.destinations, at, at+1)
			if f.sent == 1 && i.acknowledges() {
				i.inFlight--
			}
			return
		}
	}
}

// repeat sends n updates at most again whose time has come; true: others have to wait.
func (r *Router) repeat(now time.Time, i *iface, n int) (late bool) {
	if len(i.flights) == 0 || now.Before(i.repeatAt) {
		return false
	}
	flights := i.flights
	i.flights = nil
	for _, f := range flights {
		if now.Before(f.again) || len(f.destinations) > n {
			late = late || !now.Before(f.again)
			i.flights = append(i.flights, f)
			continue
		}
		if f.sent == 1 && i.acknowledges() {
			i.inFlight -= len(f.destinations) // they are held for lost
		}
		n -= len(f.destinations)
		f.destinations = slices.DeleteFunc(f.destinations, func(id uint32) bool {
			if !i.fresh.has(id) {
				return false
			}
			i.flying.put(id, false)
			return true
		})
		r.fly(now, i, f)
	}
	i.setRepeatAt()
	return late
}

func (i *iface) setRepeatAt() {
	for k, f := range i.flights {
		if k == 0 || f.again.Before(i.repeatAt) {
			i.repeatAt = f.again
		}
	}
}

// handleAck ends the repetition of what an Ack was asked for.
func (r *Router) handleAck(now time.Time, i *iface, opaque uint16) {
	k := slices.IndexFunc(i.flights, func(f flight) bool { return f.opaque == opaque })
	if k < 0 || !i.acknowledges() {
		return
	}
	f := i.flights[k]
	i.flights = slices.Delete(i.flights, k, k+1)
	if i.acked = true; f.sent == 1 {
		i.inFlight -= len(f.destinations)
	}
	for _, id := range f.destinations {
		if i.flying.put(id, false); !i.fresh.has(id) {
			r.settled(i, r.destinations[id])
		}
	}
	if len(i.flights) == 0 {
		i.flights = nil
	}
	if i.setRepeatAt(); f.sent > 1 {
		i.hasten(now)
	}
}

// hasten has updates that seemed lost sent again soon: the neighbor was heard.
func (i *iface) hasten(now time.Time) {
	for k := range i.flights {
		if f := &i.flights[k]; f.sent > 1 {
			f.again = minTime(f.again, now.Add(repeatDelay))
		}
	}
	i.setRepeatAt()
}

// dropUpdates forgets what an interface had to send.
func (r *Router) dropUpdates(i *iface) {
	for id, d := range r.destinations {
		if id := uint32(id); i.fresh.has(id) || i.flying.has(id) {
			r.settled(i, d)
		}
	}
	i.fresh, i.patient, i.flying, i.flights, i.inFlight, i.dumping = idSet{}, idSet{}, idSet{}, nil, 0, nil
}

// idSet is a set of destinations.
type idSet struct {
	words []uint64
	count int
}

func (s *idSet) has(id uint32) bool {
	return int(id/64) < len(s.words) && s.words[id/64]>>(id%64)&1 != 0
}

func (s *idSet) put(id uint32, in bool) {
	if s.has(id) == in {
		return
	}
	if need := int(id/64) + 1; need > len(s.words) {
		s.words = append(s.words, make([]uint64, need-len(s.words))...)
	}
	s.words[id/64] ^= 1 << (id % 64)
	if s.count++; !in {
		s.count -= 2
	}
}

// batch is destinations to look at together, at a later time.
type batch struct {
	ids idSet
	at  time.Time
}

// add puts a destination in; the first one sets the time.
func (b *batch) add(id uint32, at time.Time) {
	if b.ids.count == 0 {
		b.at = at
	}
	b.ids.put(id, true)
}

// next is when to take them; the zero Time where there are none.
func (b *batch) next() time.Time {
	if b.ids.count == 0 {
		return time.Time{}
	}
	return b.at
}

// take empties the batch when its time has come.
func (b *batch) take(now time.Time) (ids []uint32) {
	if b.ids.count == 0 || now.Before(b.at) {
		return nil
	}
	ids = b.ids.appendTo(nil)
	for _, id := range ids {
		b.ids.put(id, false)
	}
	return ids
}

// clear empties the set.
func (s *idSet) clear() {
	clear(s.words)
	s.count = 0
}

// appendTo appends the members in order.
func (s *idSet) appendTo(ids []uint32) []uint32 { return s.appendWithout(&idSet{}, ids) }

// appendWithout appends those that are not in o in order.
func (s *idSet) appendWithout(o *idSet, ids []uint32) []uint32 {
	for k, w := range s.words {
		if k < len(o.words) {
			w &^= o.words[k]
		}
		for ; w != 0; w &= w - 1 {
			ids = append(ids, uint32(64*k+bits.TrailingZeros64(w)))
		}
	}
	return ids
}
