package peer

import "time"

// advance sends the next message, if none is under way.
func (x *Exchange) advance(now time.Time) {
	for x.flight == nil {
		m := x.next(now)
		if m == nil {
			return
		}
		x.sequence++
		h := Header{x.cfg.Epoch, x.sequence}
		body, err := Append(nil, h, m)
		if err != nil {
			continue // a hello with a software name that cannot be said
		}
		f := &flight{header: h, body: body}
		if _, claims := m.(Claims); claims {
			x.underWay = append(x.underWay, f)
		} else {
			x.flight = f
		}
		x.send(now, f)
	}
}

func (x *Exchange) send(now time.Time, f *flight) {
	wait := RetryMin
	for range f.tries {
		wait = min(2*wait, RetryMax)
	}
	f.tries++
	f.next = now.Add(wait)
	x.emit(Send{append([]byte(nil), f.body...)})
}

// next is the most urgent thing to say; nil: nothing.
func (x *Exchange) next(now time.Time) Message {
	switch {
	case x.parting != 0:
		m := Goodbye{x.parting}
		x.parting = 0
		return m
	case x.hello:
		x.hello = false
		m := x.cfg.Hello
		for d := range x.transfers {
			t := &x.transfers[d]
			t.offer, m.Numbers[d] = false, t.number
		}
		return m
	case x.observed:
		x.observed = false
		if CheckEndpoint(x.cfg.Observed, x.cfg.Networks) != nil {
			return x.next(now) // such as a link-local underlay: of no use to the peer
		}
		return ObservedAddress{x.cfg.Observed}
	}
	// The revocations before the parameters: they may not wait.
	for _, d := range []Document{Revocations, Params} {
		if m := x.transfers[d].next(d); m != nil {
			return m
		}
	}
	if x.tunnelNews {
		x.tunnelNews = false
		return Tunnel{x.tunnel}
	}
	if x.claims != nil {
		m := Claims{x.claims}
		x.claims = nil
		return m
	}
	if len(x.news) > 0 && !now.Before(x.newsNext) {
		return x.nextNews(now)
	}
	return nil
}

// nextNews is as many of the peers that are news as one message holds.
func (x *Exchange) nextNews(now time.Time) Message {
	room, n := MaxMessage-HeaderLen, 0
	for _, p := range x.news {
		size := len(appendPeer(nil, p))
		if size > room {
			break
		}
		room -= size
		n++
		x.note(p)
	}
	m := List{x.news[:n:n]}
	x.news = x.news[n:]
	if len(x.news) == 0 {
		x.newsNext = now.Add(PeersHold)
	}
	return m
}
