// Package checksum is the Internet checksum (RFC 1071). A sum is kept in 64 bits, of words in
// network order, and folded at the end.
//
//	pseudo-header -> Add -> Add(header and payload) -> Fold -> complement
//
// The caller's duties: parts that are added one by one are of an even length each, but for
// the last; the checksum's own field is zero while it is made, and a packet that has it sums
// to 0xffff.
package checksum
