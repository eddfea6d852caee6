package carrier

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

// BenchmarkDatagrams sends batches as a flow of full packets has, of which few enough are under
// way that none waits too long: as TCP's window does.
func BenchmarkDatagrams(b *testing.B) {
	const (
		length   = 1190
		perBatch = 16
		window   = 160
	)
	for by := range fabric.Carrier(fabric.Carriers) {
		b.Run(by.String(), func(b *testing.B) {
			from, to := open(b, fabric.AllCarriers), open(b, fabric.AllCarriers)
			reader(b, from)
			var came atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				p := []sock.Packet{{Data: make([]byte, sock.ReadRoom)}}
				for {
					p[0].Data = p[0].Data[:cap(p[0].Data)]
					if _, err := to.ReadBatch(p); err != nil {
						return
					}
					came.Add(int64(p[0].Datagrams()))
				}
			}()
			for came.Load() == 0 { // a dial may fail
				write(b, from, at(to, by), datagram(length, 'a'))
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond)
			p := at(to, by)
			p.Segment = length
			for range perBatch {
				p.Data = append(p.Data, datagram(length, 'a')...)
			}
			began := came.Load()
			b.SetBytes(perBatch * length)
			b.ReportAllocs()
			b.ResetTimer()
			var sent, lost int64
			before := cpu(b)
			for b.Loop() {
				for waited := time.Now(); sent-lost-(came.Load()-began) > window; {
					if time.Since(waited) > 100*time.Millisecond {
						lost = sent - (came.Load() - began)
					}
					time.Sleep(20 * time.Microsecond)
				}
				if _, err := from.WriteBatch([]sock.Packet{p}); err != nil {
					b.Fatal(err)
				}
				sent += perBatch
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(sent), "cpu-ns/datagram")
			for waited := time.Now(); came.Load()-began < sent && time.Since(waited) < 100*time.Millisecond; {
				time.Sleep(time.Millisecond)
			}
			b.ReportMetric(100*float64(sent-(came.Load()-began))/float64(sent), "%lost")
			_ = to.Close()
			<-done
		})
	}
}

// cpu is what this process has used of the processors: the kernel's part of sending as well.
func cpu(b *testing.B) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
