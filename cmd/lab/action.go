package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Action is one thing done to a running lab: a line of a scenario, or a command to
// `re6st lab`. Both are parsed here. The zero fields are those that Verb has not.
type Action struct {
	Verb  string
	A, B  string        // nodes; B for what concerns an edge or a pair; A may be everyName
	Path  bool          // cut, kill: not A and B, but a link or a relay on the path from A to B
	How   Cut           // cut
	Block Block         // block, unblock
	Share perMyriad     // loss
	Rate  uint64        // rate, bit/s; 0 is no limit
	Every time.Duration // ping; delay: by how much
	For   time.Duration // ping; 0: until the scenario ends
	Port  int           // uplink: 1 or 2
	State State         // uplink
	Disk  Disk          // disk
	Shift time.Duration // clock: by how much it jumps
	Set   string        // set: KEY=VALUE..., one blank between them
	Text  string        // config: a line of TOML, or wordNone; right: which
}

// The verbs.
const (
	verbCut     = "cut"
	verbHeal    = "heal"
	verbBlock   = "block"
	verbUnblock = "unblock"
	verbLink    = "link"
	verbLoss    = "loss"
	verbRate    = "rate"
	verbDelay   = "delay"
	verbKill    = "kill"
	verbStart   = "start"
	verbRestart = "restart"
	verbForget  = "forget"
	verbAddr    = "addr"
	verbUplink  = "uplink"
	verbPing    = "ping"
	verbDisk    = "disk"
	verbClock   = "clock"
	verbRevoke  = "revoke"
	verbSet     = "set"
	verbRenew   = "renew"
	verbConfig  = "config"
	verbRight   = "right"
	verbTap     = "tap"
)

// Words in the place of a node's name.
const (
	everyName = "all"   // every node, but not the registry; of heal: every edge
	wordPath  = "path"  // the link in the middle of the path that packets take now
	wordRelay = "relay" // the node in the middle of it
)

// Limits of the numbers in actions.
const (
	maxRateMbit  = 100_000
	minPingEvery = time.Millisecond
	maxPingEvery = time.Minute
	maxShift     = 20 * year
)

// verbs lists them for those who wrote another word.
const verbs = "cut heal link block unblock loss rate delay kill start restart forget addr uplink disk clock revoke renew set config right tap ping"

// usages shows how each verb is written.
var usages = map[string]string{
	verbCut:     "cut [path] A B [silent|reject|v4]",
	verbHeal:    "heal A B|all",
	verbBlock:   "block A B ours|quic|udp|tls|all",
	verbUnblock: "unblock A B ours|quic|udp|tls|all",
	verbLink:    "link A B",
	verbLoss:    "loss A B PERCENT",
	verbRate:    "rate NODE MBIT",
	verbDelay:   "delay A B DURATION",
	verbKill:    "kill NODE|all|relay A B",
	verbStart:   "start NODE|all",
	verbRestart: "restart NODE|all",
	verbForget:  "forget NODE|all",
	verbAddr:    "addr NODE",
	verbUplink:  "uplink NODE 1|2 up|silent|down",
	verbPing:    "ping A B every DURATION [for DURATION]",
	verbDisk:    "disk NODE|all|registry full|readonly|ok",
	verbClock:   "clock NODE|all +1h|-1y",
	verbRevoke:  "revoke NODE",
	verbRenew:   "renew NODE|all",
	verbSet:     "set KEY=VALUE...",
	verbConfig:  "config NODE KEY = VALUE|none",
	verbRight:   "right NODE import PREFIX...|gateway|none",
	verbTap:     "tap NODE",
}

// parseAction reads the words of an action. Whether its nodes exist is not looked at.
func parseAction(words []string) (Action, error) {
	if len(words) == 0 {
		return Action{}, fmt.Errorf("nothing to do; write one of: %s", verbs)
	}
	a := Action{Verb: words[0]}
	usage, ok := usages[a.Verb]
	if !ok {
		return Action{}, fmt.Errorf("unknown word %q; write one of: %s", a.Verb, verbs)
	}
	wrong := func(what string) (Action, error) {
		return Action{}, fmt.Errorf("%s; write: %s", what, usage)
	}
	args := words[1:]
	if on := onPath[a.Verb]; on != "" && len(args) > 0 && args[0] == on {
		a.Path, args = true, args[1:]
	}
	nodes := a.names(args)
	if len(args) < nodes {
		return wrong(fmt.Sprintf("%s needs %d names", a.Verb, nodes))
	}
	for _, name := range args[:nodes] {
		if !isName(name) && !(name == everyName && forAll[a.Verb]) {
			return wrong(fmt.Sprintf("%q is no name of a node", name))
		}
	}
	if nodes > 0 {
		a.A = args[0]
	}
	if nodes == 2 {
		if a.B = args[1]; a.A == a.B {
			return wrong(fmt.Sprintf("twice the same node, %s", a.A))
		}
	}
	rest := args[nodes:]
	if len(rest) > 0 && takesNothing(a.Verb) {
		return wrong(fmt.Sprintf("%q is too much", strings.Join(rest, " ")))
	}
	if err := a.parseRest(rest); err != nil {
		return wrong(err.Error())
	}
	return a, nil
}

// onPath are the words by which an action concerns a part of a path.
var onPath = map[string]string{verbCut: wordPath, verbKill: wordRelay}

// forAll are the actions that can be done to all.
var forAll = map[string]bool{verbHeal: true, verbKill: true, verbStart: true, verbRestart: true, verbForget: true, verbDisk: true, verbClock: true, verbRenew: true}

// names is how many names begin the arguments.
func (a *Action) names(args []string) int {
	switch a.Verb {
	case verbSet:
		return 0
	case verbKill, verbStart, verbRestart, verbForget, verbAddr, verbUplink, verbRate, verbDisk, verbClock, verbRevoke, verbRenew, verbConfig, verbRight, verbTap:
		if !a.Path {
			return 1
		}
	case verbHeal:
		if len(args) > 0 && args[0] == everyName {
			return 1
		}
	}
	return 2
}

func takesNothing(verb string) bool {
	switch verb {
	case verbHeal, verbLink, verbKill, verbStart, verbRestart, verbForget, verbAddr, verbRevoke, verbRenew, verbTap:
		return true
	default:
		return false
	}
}

// parseRest reads what follows the names.
func (a *Action) parseRest(rest []string) (err error) {
	switch a.Verb {
	case verbCut:
		a.How = Silent
		switch {
		case len(rest) > 1:
			return fmt.Errorf("%q is too much", strings.Join(rest[1:], " "))
		case len(rest) == 1 && !slices.Contains([]Cut{Silent, Reject, RejectV4}, Cut(rest[0])):
			return fmt.Errorf("%q is no way to cut", rest[0])
		case len(rest) == 1:
			a.How = Cut(rest[0])
		}
	case verbBlock, verbUnblock:
		a.Block, err = parseBlock(rest)
	case verbLoss:
		a.Share, err = parsePercent(rest)
	case verbRate:
		a.Rate, err = parseMbit(rest)
	case verbUplink:
		return a.parseUplink(rest)
	case verbDelay:
		if len(rest) != 1 {
			return fmt.Errorf("one duration is needed")
		}
		if a.Every, err = parseDuration(rest[0]); err == nil && a.Every > maxDelay {
			err = fmt.Errorf("%v: up to %v is possible", a.Every, maxDelay)
		}
	case verbPing:
		if len(rest) == 4 && rest[2] == "for" {
			if a.For, err = parseDuration(rest[3]); err != nil || a.For == 0 {
				return fmt.Errorf("%q is no duration above 0", rest[3])
			}
			rest = rest[:2]
		}
		if len(rest) != 2 || rest[0] != "every" {
			return fmt.Errorf("an interval is needed")
		}
		if a.Every, err = parseDuration(rest[1]); err != nil {
			return err
		}
		if a.Every < minPingEvery || a.Every > maxPingEvery {
			return fmt.Errorf("every %v: from %v to %v is possible", a.Every, minPingEvery, maxPingEvery)
		}
	case verbDisk:
		a.Disk = Disk(strings.Join(rest, " "))
		if a.Disk != DiskOK && a.Disk != DiskFull && a.Disk != DiskReadOnly {
			return fmt.Errorf("%q is no state of a disk", a.Disk)
		}
	case verbClock:
		if len(rest) != 1 {
			return fmt.Errorf("by how much is needed")
		}
		a.Shift, err = parseShift(rest[0])
	case verbSet:
		a.Set, err = parseSet(rest)
	case verbConfig:
		a.Text, err = parseSetting(rest)
	case verbRight:
		a.Text, err = parseRight(rest)
	}
	return err
}

func (a *Action) parseUplink(rest []string) error {
	if len(rest) != 2 || rest[0] != "1" && rest[0] != "2" {
		return fmt.Errorf("the number of an uplink and its state are needed")
	}
	if a.State = State(rest[1]); a.State != Up && a.State != Quiet && a.State != Down {
		return fmt.Errorf("%q is no state of an uplink", rest[1])
	}
	a.Port = int(rest[0][0] - '0')
	return nil
}

// isName accepts what can be a node's name: n1, or registry.
func isName(s string) bool {
	if s == registryName {
		return true
	}
	digits, ok := strings.CutPrefix(s, "n")
	n, err := strconv.Atoi(digits)
	return ok && err == nil && n >= 1 && s == nodeName(n-1)
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 2s or 500ms", s)
	}
	return d, nil
}

// year is 365 days.
const year = 365 * 24 * time.Hour

// parseShift reads by how much a clock jumps: a duration with a sign, or whole years.
func parseShift(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if years, whole := strings.CutSuffix(s, "y"); whole {
		var n int
		n, err = strconv.Atoi(years)
		d = time.Duration(n) * year
	}
	if err != nil || d == 0 || d.Abs() > maxShift || !strings.ContainsAny(s[:1], "+-") {
		return 0, fmt.Errorf("%q is no jump of a clock such as +1h or -1y, by %d years at most", s, maxShift/year)
	}
	return d, nil
}

// parsePercent reads 0 to 100 with up to two decimals and an optional sign.
func parsePercent(rest []string) (perMyriad, error) {
	if len(rest) != 1 {
		return 0, fmt.Errorf("one percentage is needed")
	}
	f, err := strconv.ParseFloat(strings.TrimSuffix(rest[0], "%"), 64)
	if err != nil || !(f >= 0 && f <= 100) {
		return 0, fmt.Errorf("%q is no percentage from 0 to 100", rest[0])
	}
	return perMyriad(f*100 + 0.5), nil
}

// parseMbit reads a rate in Mbit/s; 0 takes the limit away.
func parseMbit(rest []string) (uint64, error) {
	if len(rest) != 1 {
		return 0, fmt.Errorf("one rate in Mbit/s is needed")
	}
	f, err := strconv.ParseFloat(rest[0], 64)
	if err != nil || !(f == 0 || f >= 0.01 && f <= maxRateMbit) {
		return 0, fmt.Errorf("%q is no rate from 0.01 to %d Mbit/s, nor 0 for none", rest[0], maxRateMbit)
	}
	return uint64(f * 1e6), nil
}

// String gives the action as it is written.
func (a Action) String() string {
	part := ""
	if a.Path {
		part = onPath[a.Verb] + " "
	}
	switch a.Verb {
	case verbCut:
		return fmt.Sprintf("cut %s%s %s %s", part, a.A, a.B, a.How)
	case verbBlock, verbUnblock:
		return fmt.Sprintf("%s %s %s %s", a.Verb, a.A, a.B, a.Block)
	case verbLoss:
		return fmt.Sprintf("loss %s %s %s", a.A, a.B, decimal(float64(a.Share)/100))
	case verbRate:
		return fmt.Sprintf("rate %s %s", a.A, decimal(float64(a.Rate)/1e6))
	case verbDelay:
		return fmt.Sprintf("delay %s %s %v", a.A, a.B, a.Every)
	case verbUplink:
		return fmt.Sprintf("uplink %s %d %s", a.A, a.Port, a.State)
	case verbPing:
		text := fmt.Sprintf("ping %s %s every %v", a.A, a.B, a.Every)
		if a.For > 0 {
			text += fmt.Sprintf(" for %v", a.For)
		}
		return text
	case verbDisk:
		return fmt.Sprintf("disk %s %s", a.A, a.Disk)
	case verbSet:
		return "set " + a.Set
	case verbConfig, verbRight:
		return fmt.Sprintf("%s %s %s", a.Verb, a.A, a.Text)
	case verbClock:
		if a.Shift%year == 0 {
			return fmt.Sprintf("clock %s %+dy", a.A, a.Shift/year)
		}
		return fmt.Sprintf("clock %s %s%v", a.A, map[bool]string{true: "+"}[a.Shift > 0], a.Shift)
	default: // some have no B
		return strings.TrimRight(fmt.Sprintf("%s %s%s %s", a.Verb, part, a.A, a.B), " ")
	}
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
