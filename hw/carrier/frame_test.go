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

func grow(n int) []byte { return make([]byte, n) }

func TestFramesAreReadAsTheyAreWritten(t *testing.T) {
	var b []byte
	lengths := []int{1, 2, 1200, fabric.MaxDatagram}
	for _, n := range lengths {
		b = appendFrame(b, datagram(n, byte(n)))
	}
	r := bytes.NewReader(b)
	for _, n := range lengths {
		if d, err := readFrame(r, grow); err != nil || !bytes.Equal(d, datagram(n, byte(n))) {
			t.Fatalf("%d bytes: %d, %v", n, len(d), err)
		}
	}
	if _, err := readFrame(r, grow); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	for _, c := range []struct {
		b    string
		want error
	}{
		{"\x00\x00", errFrame},
		{"\xff\xff\x19", errFrame},
		{"GE", io.ErrUnexpectedEOF},
		{"GET / HTTP/1.1", errFrame},
		{"\x00\x05\x19", io.ErrUnexpectedEOF},
		{"\x00", io.ErrUnexpectedEOF},
	} {
		if _, err := readFrame(bytes.NewReader([]byte(c.b)), grow); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.b, err, c.want)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(appendFrame(appendFrame(nil, datagram(3, 1)), datagram(70, 2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		r := bytes.NewReader(b)
		for {
			d, err := readFrame(r, grow)
			if err != nil {
				break
			}
			if _, err := fabric.TypeOf(d); err != nil {
				t.Fatal("a frame of no type")
			}
			again = appendFrame(again, d)
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatal("frames are written otherwise than they were read")
		}
	})
}
