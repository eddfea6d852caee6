package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The loads.
const (
	loadStream   = "stream"   // one TCP connection
	loadSmall    = "small"    // UDP of fabricSmall bytes, as fast as it goes
	loadLossless = "lossless" // the same, as fast as (nearly) all arrives
)

var fabricLoads = []string{loadStream, loadSmall, loadLossless}

// The search for the highest rate without loss: halvings of what arrived of a flood and a
// little more, one second each.
const (
	losslessSteps = 5
	losslessRoom  = 1.2
	losslessShare = 0.01 // of the packets, that may be lost
)

// measure puts a load on a path.
func (b *fabricBench) measure(ctx context.Context, path carrier, s *FabricSample) error {
	seconds := int(b.span / time.Second)
	if s.Load != loadLossless {
		rate := -1.0
		if s.Load == loadSmall {
			rate = 0
		}
		_, err := b.load(ctx, path, s, rate, seconds)
		return err
	}
	flood := *s
	if _, err := b.load(ctx, path, &flood, 0, 1); err != nil {
		return err
	}
	low, high := 0.0, flood.Packets*losslessRoom
	for range losslessSteps {
		try := *s
		lost, err := b.load(ctx, path, &try, (low+high)/2, 1)
		switch {
		case err != nil:
			return err
		case lost < losslessShare:
			low, *s = (low+high)/2, try
		default:
			high = (low + high) / 2
		}
	}
	return nil
}

// load runs iperf3: a stream where rate is negative, else so many packets a second; 0 is as
// many as it can send. lost is the share that did not arrive.
func (b *fabricBench) load(ctx context.Context, path carrier, s *FabricSample, rate float64, seconds int) (lost float64, err error) {
	from, to, target := path.ends()
	server := exec.CommandContext(ctx, "iperf3", "-s", "-1", "--forceflush", "-p", fabricPort)
	ready := &watchfor{text: "listening", seen: make(chan struct{})}
	server.Stdout = ready
	if err := to.Do(server.Start); err != nil {
		return 0, err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	select {
	case <-ready.seen:
	case <-time.After(b.options.Timeout):
		return 0, errors.New("iperf3 does not listen")
	}
	args := []string{"-J", "-p", fabricPort, "-c", target.String(), "-t", strconv.Itoa(seconds)}
	if rate >= 0 {
		args = append(args, "-u", "-b", strconv.FormatFloat(rate*fabricSmall*8, 'f', 0, 64), "-l", strconv.Itoa(fabricSmall))
	}
	daemons, kernel := path.pids(), [][]int{softIRQs()}
	before, kernelBefore := cpuTimes(daemons), cpuTimes(kernel)
	client := exec.CommandContext(ctx, "iperf3", args...)
	var out bytes.Buffer
	client.Stdout = &out
	if err := from.Do(client.Run); err != nil {
		return 0, fmt.Errorf("iperf3: %w: %s", err, tailOf(out.String()))
	}
	_ = server.Wait()
	after, kernelAfter := cpuTimes(daemons), cpuTimes(kernel)
	var answer iperf
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return 0, fmt.Errorf("iperf3: %w", err)
	}
	s.take(&answer, client, server, difference(after, before), difference(kernelAfter, kernelBefore))
	for _, pids := range daemons {
		for _, pid := range pids {
			s.RSS = max(s.RSS, residentMB(pid))
		}
	}
	return answer.lost(), nil
}

// iperf is what is read of iperf3's report.
type iperf struct {
	End struct {
		Received struct {
			Bytes   float64 `json:"bytes"`
			Bits    float64 `json:"bits_per_second"`
			Seconds float64 `json:"seconds"`
			Packets float64 `json:"packets"`
			Lost    float64 `json:"lost_packets"`
		} `json:"sum_received"`
	} `json:"end"`
}

// lost is the share of packets that did not arrive; all of none.
func (a *iperf) lost() float64 {
	if a.End.Received.Packets == 0 {
		return 1
	}
	return a.End.Received.Lost / a.End.Received.Packets
}

// take works out what a report says; the times are of the daemons of each node, and of the
// kernel.
func (s *FabricSample) take(a *iperf, client, server *exec.Cmd, daemons, kernel []float64) {
	r := a.End.Received
	all := total(daemons) + total(kernel)
	for _, c := range []*exec.Cmd{client, server} {
		if c.ProcessState != nil {
			all += (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
		}
	}
	s.Gbits = r.Bits / 1e9
	gb := r.Bytes / 1e9
	if s.Load != loadStream {
		arrived := max(1, r.Packets-r.Lost)
		gb = arrived * fabricSmall / 1e9
		s.Gbits = gb * 8 / r.Seconds
		s.Packets = arrived / r.Seconds
		s.MicroCPU = 1e6 * total(daemons) / arrived
	}
	s.CPU = all / gb
	if n := len(daemons); n > 2 {
		s.Relay = total(daemons[1:n-1]) / float64(n-2) / gb
	}
}

// cpuTimes are sums over the processes of each node.
func cpuTimes(nodes [][]int) (all []float64) {
	for _, pids := range nodes {
		sum := 0.0
		for _, pid := range pids {
			sum += cpuTime(pid)
		}
		all = append(all, sum)
	}
	return all
}

func difference(a, b []float64) []float64 {
	d := slices.Clone(a)
	for i := range d {
		d[i] -= b[i]
	}
	return d
}

func total(each []float64) (s float64) {
	for _, x := range each {
		s += x
	}
	return s
}

// watchfor closes seen when a text was written.
type watchfor struct {
	text string
	got  []byte
	seen chan struct{}
}

func (w *watchfor) Write(p []byte) (int, error) {
	if w.got = append(w.got, p...); bytes.Contains(w.got, []byte(w.text)) && w.text != "" {
		close(w.seen)
		w.text = ""
	}
	return len(p), nil
}

func tailOf(s string) string { return strings.TrimSpace(s[max(0, len(s)-500):]) }
