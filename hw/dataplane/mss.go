package dataplane

import "encoding/binary"

// TCP (RFC 9293 section 3.1).
const (
	protocolTCP  = 6
	tcpHeaderLen = 20
	tcpSYN       = 0x02

	tcpOptionEnd, tcpOptionNone, tcpOptionMSS = 0, 1, 2
	tcpMSSLen                                 = 4

	// leastMSS is that below which none is set: a host may take it for an attack.
	leastMSS = 536
)

// synAt is where the TCP header of a SYN begins in an inner packet; 0 where it is none.
func synAt(b []byte) int {
	at := ipv6HeaderLen
	if isIPv4(b) {
		if at = ipv4Header(b); at == 0 || b[9] != protocolTCP || binary.BigEndian.Uint16(b[6:])&ipv4Offset != 0 {
			return 0
		}
	} else if len(b) < ipv6HeaderLen || b[6] != protocolTCP {
		return 0
	}
	if len(b) < at+tcpHeaderLen || b[at+13]&tcpSYN == 0 {
		return 0
	}
	return at
}

// clampMSS has the other end of a TCP connection send no longer packets than so many bytes,
// where a SYN offers more (RFC 9293 section 3.7.1), and mends the checksum.
func clampMSS(b []byte, whole int) {
	at := synAt(b)
	if at == 0 {
		return
	}
	most := max(leastMSS, whole-tcpHeaderLen-ipv6HeaderLen)
	if isIPv4(b) {
		most = max(leastMSS, whole-tcpHeaderLen-ipv4HeaderLen)
	}
	end := min(len(b), at+int(b[at+12]>>4)*4)
	for i := at + tcpHeaderLen; i+1 < end && b[i] != tcpOptionEnd; {
		size := 1
		if b[i] != tcpOptionNone {
			size = int(b[i+1])
		}
		switch {
		case size < 1 || b[i] != tcpOptionNone && size < 2 || i+size > end:
			return
		case b[i] == tcpOptionMSS && size == tcpMSSLen:
			if old := binary.BigEndian.Uint16(b[i+2:]); int(old) > most {
				binary.BigEndian.PutUint16(b[i+2:], uint16(most))
				mendChecksum(b[at+16:], old, uint16(most), (i-at)%2 == 1)
			}
			return
		}
		i += size
	}
}

// mendChecksum follows a change of two bytes (RFC 1624 section 3, equation 3); odd tells that
// they lie across two of the words that are summed.
func mendChecksum(sum []byte, old, now uint16, odd bool) {
	if odd {
		old, now = old<<8|old>>8, now<<8|now>>8
	}
	n := uint32(^binary.BigEndian.Uint16(sum)) + uint32(^old) + uint32(now)
	n = n>>16 + n&0xffff
	binary.BigEndian.PutUint16(sum, ^uint16(n+n>>16))
}
