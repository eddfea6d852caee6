package openvpn

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// errManagement: the child says what its management interface does not.
var errManagement = errors.New("openvpn: malformed word of the management interface")

// hello is what the child is told first; until then it does nothing (management-hold).
const hello = "state on\nhold off\nhold release\n"

// conversation is one with a child's management interface (management-notes.txt of
// OpenVPN): lines come, events and answers go. Without IO.
type conversation struct {
	waits   bool // this end does
	admit   func(Client) error
	client  clientWord // whose variables come now
	present map[uint64]Client
	fatal   string // why the child says to end

	events  []Event
	answers []string
}

// clientWord is one >CLIENT notification, which has many lines.
type clientWord struct {
	what      string // CONNECT, REAUTH, ESTABLISHED, DISCONNECT; "": none
	cid, kid  uint64
	variables map[string]string
	lines     int
}

// wanted are the variables that are kept. All but common_name and the addresses are set
// by the child alone; a client cannot name any of them.
var wanted = []string{"common_name", "tls_serial_hex_0", "untrusted_ip", "untrusted_ip6", "untrusted_port"}

// HandleLine takes one line, without its end.
func (c *conversation) HandleLine(line string) error {
	kind, rest, ok := strings.Cut(line, ":")
	if !ok {
		return nil // of the answer to a command
	}
	switch kind {
	case ">STATE":
		return c.state(rest)
	case ">CLIENT":
		return c.clientLine(rest)
	case ">FATAL":
		c.fatal = rest
	case "ERROR":
		return fmt.Errorf("%w: the child refuses: %s", errManagement, rest)
	}
	return nil
}

// state takes "time,state,detail,tunnel's IPv4,remote IP,remote port,...".
func (c *conversation) state(rest string) error {
	fields := strings.Split(rest, ",")
	if len(fields) < 2 {
		return fmt.Errorf("%w: state %q", errManagement, rest)
	}
	if fields[1] != "CONNECTED" {
		return nil
	}
	if c.waits {
		c.events = append(c.events, Waiting{})
		return nil
	}
	if len(fields) < 6 {
		return fmt.Errorf("%w: state %q", errManagement, rest)
	}
	c.events = append(c.events, Connected{Client{Address: addrPort(fields[4], fields[5])}})
	return nil
}

// clientLine takes "CONNECT,cid,kid" and the like, or "ENV,name=value" up to "ENV,END".
func (c *conversation) clientLine(rest string) error {
	what, rest, _ := strings.Cut(rest, ",")
	if what == "ADDRESS" {
		return nil // one line; the client has an address inside
	}
	w := &c.client
	if what != "ENV" {
		fields := strings.Split(rest, ",")
		*w = clientWord{what: what, variables: map[string]string{}}
		var err error
		if w.cid, err = strconv.ParseUint(fields[0], 10, 64); err == nil && len(fields) > 1 {
			w.kid, err = strconv.ParseUint(fields[1], 10, 64)
		}
		if err != nil {
			return fmt.Errorf("%w: client %s %q", errManagement, what, rest)
		}
		return nil
	}
	if rest == "END" {
		done := *w
		*w = clientWord{}
		return c.clientDone(done)
	}
	if w.lines++; w.lines > maxVariables {
		return fmt.Errorf("%w: more than %d variables of one client", errManagement, maxVariables)
	}
	name, value, _ := strings.Cut(rest, "=")
	for _, n := range wanted {
		if n == name && w.what != "" {
			w.variables[n] = value
		}
	}
	return nil
}

func (c *conversation) clientDone(w clientWord) error {
	client := Client{
		Name: w.variables["common_name"], Serial: serial(w.variables["tls_serial_hex_0"]),
		Address: addrPort(w.variables["untrusted_ip"]+w.variables["untrusted_ip6"], w.variables["untrusted_port"]),
	}
	switch w.what {
	case "CONNECT", "REAUTH":
		c.judge(w, client)
	case "ESTABLISHED":
		if c.present == nil {
			c.present = map[uint64]Client{}
		}
		if len(c.present) >= maxPending {
			return fmt.Errorf("%w: more than %d clients", errManagement, maxPending)
		}
		c.present[w.cid] = client
		c.events = append(c.events, Connected{client})
	case "DISCONNECT":
		if client, ok := c.present[w.cid]; ok { // one that was refused was never there
			delete(c.present, w.cid)
			c.events = append(c.events, Disconnected{client})
		}
	}
	return nil
}

// judge answers whether a client may come in. It is told where it is seen, as nodes of
// older networks ask for.
func (c *conversation) judge(w clientWord, client Client) {
	var refusal error
	if c.admit != nil {
		refusal = c.admit(client)
	}
	if refusal != nil {
		c.answers = append(c.answers, fmt.Sprintf("client-deny %d %d \"not admitted\"\n", w.cid, w.kid))
		c.events = append(c.events, Refused{client, refusal})
		return
	}
	answer := fmt.Sprintf("client-auth %d %d\n", w.cid, w.kid)
	if client.Address.IsValid() {
		answer += fmt.Sprintf("push \"setenv-safe external_ip %s\"\n", client.Address.Addr())
	}
	c.answers = append(c.answers, answer+"END\n")
}

// Drain hands over what came of the lines: answers for the child, then events.
func (c *conversation) Drain(answer func(string), yield func(Event)) {
	answers, events := c.answers, c.events
	c.answers, c.events = nil, nil
	for _, a := range answers {
		answer(a)
	}
	for _, e := range events {
		yield(e)
	}
}

// addrPort reads what may be no address at all.
func addrPort(ip, port string) netip.AddrPort {
	a, err := netip.ParseAddr(ip)
	p, errPort := strconv.ParseUint(port, 10, 16)
	if err != nil || errPort != nil || a.Zone() != "" {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p))
}

// serial is "4d:33:0c" as big.Int.Text(16) has it.
func serial(colons string) string {
	return strings.TrimLeft(strings.ToLower(strings.ReplaceAll(colons, ":", "")), "0")
}
