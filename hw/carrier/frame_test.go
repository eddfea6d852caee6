package carrier

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

func dialStranger(t *testing.T, c *Conn) net.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", at(c, fabric.TLS).Addr.String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a stranger
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func TestFramesAreReadAsTheyAreWritten(t *testing.T) {
	var b []byte
	lengths := []int{1, 2, 1200, fabric.MaxDatagram}
	for _, n := range lengths {
		b = appendFrame(b, datagram(n, byte(n)))
	}
	whole, count, need, err := wholeFrames(b)
	if whole != len(b) || count != len(lengths) || need != len(b)+lengthLen || err != nil {
		t.Fatalf("%d of %d bytes, %d datagrams, %d needed, %v", whole, len(b), count, need, err)
	}
	for _, n := range lengths {
		var d []byte
		if d, b = cutFrame(b); !bytes.Equal(d, datagram(n, byte(n))) {
			t.Errorf("%d bytes: %d", n, len(d))
		}
	}
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	for _, c := range []struct {
		b    string
		want error
		need int
	}{
		{"\x00\x00", errFrame, 0},
		{"\xff\xff\x19", errFrame, 0},
		{"GE", nil, 3}, // no memory is taken for it
		{"GET / HTTP/1.1", errFrame, 0},
		{"\x00\x05\x19", nil, 7},
		{"\x00", nil, 2},
		{"", nil, 2},
	} {
		whole, count, need, err := wholeFrames([]byte(c.b))
		if !errors.Is(err, c.want) || whole != 0 || count != 0 || need != c.need {
			t.Errorf("%q: %d bytes, %d datagrams, %d needed, %v, want %v", c.b, whole, count, need, err, c.want)
		}
	}
}

// dribble gives a few bytes at a time.
type dribble struct {
	net.Conn
	r    io.Reader
	most int
}

func (d *dribble) Read(b []byte) (int, error) { return d.r.Read(b[:min(d.most, len(b))]) }

func TestDatagramsAreWholeHoweverTheirBytesCome(t *testing.T) {
	lengths := []int{1200, 1, 30000, 1200, 1200, 64, fabric.MaxDatagram, 700}
	var all []byte
	for i, n := range lengths {
		all = appendFrame(all, datagram(n, byte(i)))
	}
	for _, most := range []int{1, 3, 1000, 16000, len(all)} {
		s := &stream{tls: &dribble{r: bytes.NewReader(all), most: most}}
		var got []byte
		for b := newBatch(); ; b = newBatch() {
			if err := s.receive(b); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
			if whole, count, _, err := wholeFrames(b.data); whole != len(b.data) || count != b.count || err != nil {
				t.Fatalf("%d at a time: %d datagrams in %d bytes; %d are whole, of %d bytes, %v", most, b.count, len(b.data), count, whole, err)
			}
			got = append(got, b.data...)
			b.free()
		}
		if !bytes.Equal(got, all) {
			t.Errorf("%d at a time: %d of %d bytes came", most, len(got), len(all))
		}
	}
}

func FuzzWholeFrames(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(appendFrame(appendFrame(nil, datagram(3, 1)), datagram(70, 2)))
	f.Add(appendFrame(nil, datagram(300, 1))[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, count, need, err := wholeFrames(b)
		if err == nil && need <= len(b) {
			t.Fatalf("%d of %d bytes are needed", need, len(b))
		}
		var again []byte
		for rest := b[:whole]; len(rest) > 0; count-- {
			var d []byte
			if d, rest = cutFrame(rest); len(d) > fabric.MaxDatagram {
				t.Fatal("too long a frame")
			}
			if _, err := fabric.TypeOf(d); err != nil {
				t.Fatal("a frame of no type")
			}
			again = appendFrame(again, d)
		}
		if count != 0 || !bytes.Equal(b[:whole], again) {
			t.Fatal("frames are written otherwise than they were read")
		}
	})
}
