package tun

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// flowPlaces is how many places there are for flows, by their hashes.
const flowPlaces = 4096

// Spread has packets be written to the queue, of all of one device, by which the others of
// their flow come from the kernel, whichever queue is asked to. The kernel moves a flow to the
// queue that it was written to last (tun_flow_update of Linux drivers/net/tun.c) while packets
// of it wait in the other: by chance, those would be overtaken. One queue stays as it is.
func Spread(queues []Device) []Device {
	if len(queues) == 1 {
		return queues
	}
	s := &steering{queues: queues}
	all := make([]Device, len(queues))
	for i, d := range queues {
		all[i] = &queue{d, s, uint32(i + 1)}
	}
	return all
}

// steering is what is known of flows. Two that share a place go by one queue in the end.
type steering struct {
	queues []Device
	places [flowPlaces]atomic.Uint32 // the number of a queue; 0: no packet of it came
}

// queue is one of a device's.
type queue struct {
	Device
	*steering
	number uint32 // from 1
}

func (q *queue) Read(packet []byte, wait bool) (int, Offload, error) {
	n, o, err := q.Device.Read(packet, wait)
	if err == nil {
		// Looking is cheaper than writing.
		if p := &q.places[placeOf(packet[:n])]; p.Load() != q.number {
			p.Store(q.number)
		}
	}
	return n, o, err
}

func (q *queue) Write(packet []byte) (int, error) { return q.of(packet).Write(packet) }

func (q *queue) WriteSuper(o Offload, headers int, packets [][]byte) error {
	return q.of(packets[0]).WriteSuper(o, headers, packets)
}

// of is the queue of a packet's flow.
func (s *steering) of(packet []byte) Device {
	place := placeOf(packet)
	if n := s.places[place].Load(); n != 0 {
		return s.queues[n-1]
	}
	return s.queues[place%uint32(len(s.queues))]
}

// placeOf is the same for all packets of a flow, both ways, as far as their headers show it.
func placeOf(p []byte) uint32 {
	var from, to uint64
	var proto byte
	var l4 []byte
	switch {
	case len(p) >= ipv6HeaderLen && p[0]>>4 == 6:
		from = mix(binary.BigEndian.Uint64(p[8:]) ^ bits.RotateLeft64(binary.BigEndian.Uint64(p[16:]), 32))
		to = mix(binary.BigEndian.Uint64(p[24:]) ^ bits.RotateLeft64(binary.BigEndian.Uint64(p[32:]), 32))
		proto, l4 = p[6], p[ipv6HeaderLen:]
	case len(p) >= ipv4HeaderLen:
		from, to = mix(uint64(binary.BigEndian.Uint32(p[12:]))), mix(uint64(binary.BigEndian.Uint32(p[16:])))
		proto = p[9]
		if size := int(p[0]&0xf) * 4; size <= len(p) && binary.BigEndian.Uint16(p[6:])&0x3fff == 0 { // no fragment
			l4 = p[size:]
		}
	}
	if (proto == protocolTCP || proto == protocolUDP) && len(l4) >= 4 {
		from, to = mix(from+uint64(binary.BigEndian.Uint16(l4))), mix(to+uint64(binary.BigEndian.Uint16(l4[2:])))
	}
	return uint32(mix(from+to+uint64(proto))>>32) % flowPlaces
}

// mix spreads what is in x over all of its bits (the finalizer of SplitMix64, Steele et al. 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
