package claim

import (
	"encoding/binary"
	"fmt"
	"math"

	"re6st/protocols/addr"
)

// The messages between two Syncs. Each begins with its kind.
//
//	digest   kind 1 | Buckets x hash 8
//	summary  kind 1 | bucket 1 | after node id 8 | up to node id 8 | { version 24 } ...
//	request  kind 1 | { node id 8 } ...
//	part     kind 1 | version 24 | total 2 | offset 2 | bytes
//
// A version is node id 8, sequence 8, hash 8. A summary lists all claims of the bucket
// whose node lies behind the first id and not behind the second.
const (
	kindDigest  = 1
	kindSummary = 2
	kindRequest = 3
	kindPart    = 4
)

const (
	versionLen  = 24
	summaryHead = 1 + 1 + 8 + 8
	partHead    = 1 + versionLen + 2 + 2
	versionsFit = (MaxMessage - summaryHead) / versionLen
	idsFit      = (MaxMessage - 1) / 8
	bytesFit    = MaxMessage - partHead
)

// summary is what a Store has of a bucket.
type summary struct {
	bucket      int
	after, upto addr.NodeID
	versions    []Version
}

// part is some bytes of a claim.
type part struct {
	Version
	total, offset int
	bytes         []byte
}

var lastID = addr.NodeIDFromUint64(math.MaxUint64)

func appendVersion(b []byte, v Version) []byte {
	b = append(b, v.Node[:]...)
	b = binary.BigEndian.AppendUint64(b, v.Sequence)
	return binary.BigEndian.AppendUint64(b, v.Hash)
}

func readVersion(b []byte) Version {
	return Version{addr.NodeID(b[:8]), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
}

func (d Digest) encode() []byte {
	b := []byte{kindDigest}
	for _, h := range d {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return b
}

func (s summary) encode() []byte {
	b := append([]byte{kindSummary, byte(s.bucket)}, s.after[:]...)
	b = append(b, s.upto[:]...)
	for _, v := range s.versions {
		b = appendVersion(b, v)
	}
	return b
}

func encodeRequest(ids []addr.NodeID) []byte {
	b := []byte{kindRequest}
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

func (p part) encode() []byte {
	b := appendVersion([]byte{kindPart}, p.Version)
	b = binary.BigEndian.AppendUint16(b, uint16(p.total))
	b = binary.BigEndian.AppendUint16(b, uint16(p.offset))
	return append(b, p.bytes...)
}

// decode reads a message: a Digest, summary, []addr.NodeID or part; nil for one of a
// later version. Nothing of b is kept.
func decode(b []byte) (any, error) {
	if len(b) == 0 || len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrMessage, len(b), MaxMessage)
	}
	kind, body := b[0], b[1:]
	switch {
	case kind == kindDigest && len(body) == 8*Buckets:
		var d Digest
		for i := range d {
			d[i] = binary.BigEndian.Uint64(body[8*i:])
		}
		return d, nil
	case kind == kindSummary && len(b) >= summaryHead && (len(b)-summaryHead)%versionLen == 0 && body[0] < Buckets:
		return decodeSummary(body), nil
	case kind == kindRequest && len(body)%8 == 0:
		ids := make([]addr.NodeID, 0, len(body)/8)
		for ; len(body) > 0; body = body[8:] {
			ids = append(ids, addr.NodeID(body[:8]))
		}
		return ids, nil
	case kind == kindPart && len(b) > partHead:
		p := part{Version: readVersion(body), bytes: append([]byte(nil), b[partHead:]...)}
		p.total, p.offset = int(binary.BigEndian.Uint16(b[partHead-4:])), int(binary.BigEndian.Uint16(b[partHead-2:]))
		if p.total > MaxSigned || p.offset+len(p.bytes) > p.total {
			return nil, fmt.Errorf("%w: %d bytes at %d of %d, at most %d", ErrMessage, len(p.bytes), p.offset, p.total, MaxSigned)
		}
		return p, nil
	case kind > kindPart || kind == 0:
		return nil, nil
	}
	return nil, fmt.Errorf("%w: %d bytes of kind %d", ErrMessage, len(b), kind)
}

func decodeSummary(body []byte) summary {
	s := summary{bucket: int(body[0]), after: addr.NodeID(body[1:9]), upto: addr.NodeID(body[9:17])}
	for body = body[17:]; len(body) > 0; body = body[versionLen:] {
		s.versions = append(s.versions, readVersion(body))
	}
	return s
}
