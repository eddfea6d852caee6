package carrier

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

// capture has tcpdump write what goes over the loopback by some ports; stop ends it.
func capture(t *testing.T, filter string) (file string, stop func()) {
	t.Helper()
	for _, tool := range []string{"tcpdump", "tshark"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("to capture needs root")
	}
	file = filepath.Join(t.TempDir(), "pcap")
	cmd := exec.Command("tcpdump", "-i", "lo", "-U", "-Z", "root", "--immediate-mode", "-s", "4096", "-B", "16384", "-w", file, filter)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.Contains(lines.Text(), "listening on") {
		t.Log(lines.Text())
	}
	return file, func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		for lines.Scan() { // until it has ended
		}
		_ = cmd.Wait()
	}
}

// dissect is what tshark prints of the packets that a filter lets through.
func dissect(t *testing.T, file, filter, field string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"-r", file, "-Y", filter, "-T", "fields", "-e", field}, args...)
	cmd := exec.Command("tshark", args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// TestTsharkSeesOrdinaryQUICAndTLS looks at several connections: tshark loses the thread of one
// where a second Retry (RFC 9000 section 8.1.2) comes after the client has answered the first, as
// it may, for its ClientHello takes two packets.
func TestTsharkSeesOrdinaryQUICAndTLS(t *testing.T) {
	var strange []string
	for range 8 {
		if strange = dissected(t); len(strange) == 0 {
			return
		}
	}
	t.Error(strings.Join(strange, "\n"))
}

// dissected has tshark look at a connection of each sort, and returns what is strange about them.
func dissected(t *testing.T) (strange []string) {
	t.Helper()
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	_, atB := reader(t, a), reader(t, b)
	udp, tcp := b.LocalAddr().Port(), b.TLSPort()
	file, stop := capture(t, fmt.Sprintf("udp port %d or tcp port %d", udp, tcp))
	for _, by := range []fabric.Carrier{fabric.QUIC, fabric.TLS} {
		for range 5 {
			reach(t, a, at(b, by), datagram(1100, 'x'), atB)
		}
	}
	// Whichever ports the kernel picked: some are of protocols that tshark knows.
	asTLS := []string{"-d", "tcp.port==1-65535,tls", "-d", "udp.port==1-65535,quic"}
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) { // it writes behind
		got, err := dissect(t, file, "tcp && tls.record.opaque_type==23", "frame.number", asTLS...)
		if err == nil && got != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("captured %q, %v", got, err)
		}
	}
	stop()
	for _, c := range []struct{ what, filter, field, want string }{
		{"QUIC's protocols", "quic && tls.handshake.type==1", "tls.handshake.extensions_alpn_str", "h3"},
		{"TLS's protocols", "tcp && tls.handshake.type==1", "tls.handshake.extensions_alpn_str", "h2,http/1.1"},
		{"TLS's version", "tcp && tls.handshake.type==2", "tls.handshake.extensions.supported_version", "0x0304"},
		{"TLS's data", "tcp && tls.record.opaque_type==23", "tls.record.opaque_type", "23"},
		{"QUIC's packets", fmt.Sprintf("udp.port==%d && quic", udp), "frame.number", ""},
	} {
		got, err := dissect(t, file, c.filter, c.field, asTLS...)
		if first, _, _ := strings.Cut(got, "\n"); err != nil || first == "" || !strings.HasPrefix(first, c.want) {
			strange = append(strange, fmt.Sprintf("%s: %q, %v, want %q", c.what, got, err, c.want))
		}
	}
	for _, filter := range []string{"_ws.malformed", fmt.Sprintf("udp.port==%d && !quic", udp)} {
		if got, err := dissect(t, file, filter, "frame.number", asTLS...); got != "" || err != nil {
			strange = append(strange, fmt.Sprintf("%s: frames %s, %v", filter, got, err))
		}
	}
	return strange
}
