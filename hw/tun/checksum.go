package tun

import "re6st/protocols/checksum"

// pseudo is the sum of the pseudo-header of a packet (RFC 9293 section 3.1, RFC 8200 section
// 8.1) whose header has no extensions.
func pseudo(packet []byte, six bool, proto uint8, length int) uint64 {
	sum := uint64(proto) + uint64(length)
	if six {
		return checksum.Add(packet[8:40], sum)
	}
	return checksum.Add(packet[12:20], sum)
}
