package openvpn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// said is what OpenVPN 2.6.14 says of a client, with lines left out that nobody reads.
const said = `>INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info
SUCCESS: real-time state notification set to ON
>STATE:1795728427,CONNECTED,SUCCESS,,,,,
>CLIENT:CONNECT,0,1
>CLIENT:ENV,n_clients=0
>CLIENT:ENV,untrusted_port=39777
>CLIENT:ENV,untrusted_ip=192.0.2.2
>CLIENT:ENV,common_name=2/16
>CLIENT:ENV,tls_serial_hex_0=04:33:0c
>CLIENT:ENV,tls_serial_hex_1=01:20:01:0d:b8:00:42
>CLIENT:ENV,X509_1_CN=re6st CA 2001:db8:42::/48
>CLIENT:ENV,END
SUCCESS: client-auth command succeeded
>CLIENT:ESTABLISHED,0
>CLIENT:ENV,untrusted_port=39777
>CLIENT:ENV,untrusted_ip=192.0.2.2
>CLIENT:ENV,common_name=2/16
>CLIENT:ENV,tls_serial_hex_0=04:33:0c
>CLIENT:ENV,END
>CLIENT:ADDRESS,0,3a:2b:1f:7e:90:01,1
>CLIENT:DISCONNECT,0
>CLIENT:ENV,common_name=2/16
>CLIENT:ENV,END`

var client = Client{Name: "2/16", Serial: "4330c", Address: netip.MustParseAddrPort("192.0.2.2:39777")}

// hear gives the lines to c and returns what came of them.
func hear(t *testing.T, c *conversation, text string) (answers string, events []Event) {
	t.Helper()
	for line := range strings.Lines(text) {
		if err := c.HandleLine(strings.TrimSuffix(line, "\n")); err != nil {
			t.Fatal(err)
		}
	}
	c.Drain(func(a string) { answers += a }, func(e Event) { events = append(events, e) })
	return answers, events
}

func TestAClientComesAndGoes(t *testing.T) {
	answers, events := hear(t, &conversation{waits: true}, said)
	if want := "client-auth 0 1\npush \"setenv-safe external_ip 192.0.2.2\"\nEND\n"; answers != want {
		t.Errorf("answers %q, want %q", answers, want)
	}
	if want := []Event{Waiting{}, Connected{client}, Disconnected{client}}; !reflect.DeepEqual(events, want) {
		t.Errorf("%+v, want %+v", events, want)
	}
}

func TestAClientIsRefused(t *testing.T) {
	revoked := errors.New("revoked")
	c := &conversation{waits: true, admit: func(got Client) error {
		if got != client {
			t.Errorf("asked about %+v, want %+v", got, client)
		}
		return revoked
	}}
	text, _, _ := strings.Cut(said, "SUCCESS: client-auth")
	answers, events := hear(t, c, text+">CLIENT:DISCONNECT,0\n>CLIENT:ENV,END")
	if want := "client-deny 0 1 \"not admitted\"\n"; answers != want {
		t.Errorf("answers %q, want %q", answers, want)
	}
	if want := []Event{Waiting{}, Refused{client, revoked}}; !reflect.DeepEqual(events, want) {
		t.Errorf("%+v, want %+v", events, want)
	}
}

func TestTheEndThatDialsHearsThatItIsThere(t *testing.T) {
	c := &conversation{}
	_, events := hear(t, c, ">STATE:1,CONNECTING,,,,,,\n>STATE:1,CONNECTED,SUCCESS,,2001:db8::1,5000,,\n>FATAL:Cannot open TUN/TAP dev")
	if want := []Event{Connected{Client{Address: netip.MustParseAddrPort("[2001:db8::1]:5000")}}}; !reflect.DeepEqual(events, want) {
		t.Errorf("%+v, want %+v", events, want)
	}
	if c.fatal != "Cannot open TUN/TAP dev" {
		t.Errorf("fatal %q", c.fatal)
	}
}

func TestWhatIsNoWordIsAnError(t *testing.T) {
	for _, line := range []string{">STATE:1", ">STATE:1,CONNECTED,SUCCESS", ">CLIENT:CONNECT,x,1", ">CLIENT:CONNECT,1,-1", ">CLIENT:ESTABLISHED,", "ERROR: unknown command"} {
		if err := (&conversation{}).HandleLine(line); !errors.Is(err, errManagement) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestWhatTheChildSaysIsBounded(t *testing.T) {
	c := &conversation{waits: true}
	hear(t, c, ">CLIENT:CONNECT,0,1\n"+strings.Repeat(">CLIENT:ENV,a=b\n", maxVariables))
	if err := c.HandleLine(">CLIENT:ENV,a=b"); !errors.Is(err, errManagement) {
		t.Errorf("one variable more: %v", err)
	}
	c = &conversation{waits: true}
	for i := range maxPending {
		hear(t, c, fmt.Sprintf(">CLIENT:ESTABLISHED,%d\n>CLIENT:ENV,END", i))
	}
	_ = c.HandleLine(">CLIENT:ESTABLISHED,99")
	if err := c.HandleLine(">CLIENT:ENV,END"); !errors.Is(err, errManagement) {
		t.Errorf("one client more: %v", err)
	}
}

func TestALineOfTheChildIsBounded(t *testing.T) {
	for _, length := range []int{maxLine - 2, maxLine} {
		s := sound()
		s.Folder = t.TempDir()
		r := &run{spec: &s, report: func(Event) {}}
		socket := filepath.Join(s.Folder, "m")
		if err := r.listen(socket); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- r.converse() }()
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, len(hello))); err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, ">%s\n", strings.Repeat("x", length)) // fails where it hangs up
		conn.Close()
		if err := <-done; errors.Is(err, errManagement) != (length == maxLine) {
			t.Errorf("%d bytes: %v", length+1, err)
		}
		r.listener.Close()
	}
}

func FuzzConversation(f *testing.F) {
	f.Add(true, said)
	f.Add(false, ">STATE:1,CONNECTED,SUCCESS,,2001:db8::1,5000,,")
	f.Add(true, ">CLIENT:ENV,END\n>CLIENT:ENV,common_name=x\n>CLIENT:REAUTH,18446744073709551615,2\n>CLIENT:ENV,END")
	f.Fuzz(func(t *testing.T, waits bool, text string) {
		c := &conversation{waits: waits}
		for line := range strings.Lines(text) {
			if c.HandleLine(strings.TrimRight(line, "\r\n")) != nil {
				break
			}
		}
		present := 0
		c.Drain(func(a string) {
			if strings.Count(a, "\n") > 3 || strings.ContainsAny(a, "\r\x00") {
				t.Errorf("answer %q", a)
			}
		}, func(e Event) {
			switch e.(type) {
			case Connected:
				present++
			case Disconnected:
				present--
			case Waiting, Refused:
			}
			if present < 0 {
				t.Error("gone without having been there")
			}
		})
	})
}
