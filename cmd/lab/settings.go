package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"re6st/actors/monitor"
	"re6st/actors/node"
)

// settings are lines of a node's own configuration, beside the file of --config; of each
// key the last one. Those of a scenario stand there with names in braces (see facts).
type settings []string

// wordNone takes a node's lines away.
const wordNone = "none"

// with is s with one more line, which may take the place of another.
func (s settings) with(line string) settings {
	if line == wordNone {
		return nil
	}
	key := keyOf(line)
	return append(slices.DeleteFunc(slices.Clone(s), func(l string) bool { return keyOf(l) == key }), line)
}

func keyOf(line string) string {
	key, _, _ := strings.Cut(line, "=")
	return strings.TrimSpace(key)
}

// file is the configuration in one: keys must stand before the tables of the rest.
func (s settings) file(rest []byte) []byte {
	return append([]byte(strings.Join(s, "\n")+"\n"), rest...)
}

// check has the node's own parser read the lines, with something in the place of names.
func (s settings) check(rest []byte) error {
	lines := slices.Clone(s)
	for i, line := range lines {
		var err error
		if lines[i], err = expand(line, func(string, string) (string, error) { return "", nil }); err != nil {
			return err
		}
	}
	_, err := node.ParseConfig(lines.file(rest))
	return err
}

// fact is a name in braces: {n1.prefix}.
var fact = regexp.MustCompile(`\{(\w+)\.(\w+)\}`)

// facts are what a name may tell of a node, each with what stands for it where it is not
// known yet.
var facts = map[string]string{
	"prefix":  "2001:db8::/64",    // in the general class
	"half":    "2001:db8::/65",    // the first half of that
	"address": "2001:db8::1",      // likewise
	"id":      "0102030405060708", // of the node
	"router":  "0102030405060708", // its router-id in Babel
}

const factUsage = "write {n1.prefix}, {n1.half}, {n1.address}, {n1.id} or {n1.router}"

// expand replaces the names in a text by what of tells; "" from it is what stands for it.
func expand(text string, of func(name, what string) (string, error)) (string, error) {
	var failed error
	text = fact.ReplaceAllStringFunc(text, func(name string) string {
		m := fact.FindStringSubmatch(name)
		sample, ok := facts[m[2]]
		if !ok || !isName(m[1]) || m[1] == registryName {
			failed = fmt.Errorf("%s is no fact of a node; %s", name, factUsage)
			return name
		}
		value, err := of(m[1], m[2])
		if err != nil {
			failed = err
		}
		if value == "" {
			return sample
		}
		return value
	})
	return text, failed
}

// factNodes are the nodes that a text names in braces.
func factNodes(text string) (names []string) {
	for _, m := range fact.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// tell expands a text by what the nodes say now.
func (l *Lab) tell(ctx context.Context, text string) (string, error) {
	return expand(text, func(name, what string) (string, error) {
		m := l.members[name]
		if m == nil {
			return "", l.check(Action{A: name})
		}
		who := l.identity(name)
		switch what {
		case "id":
			return who.id.String(), nil
		case "address":
			return who.addresses[generalClass].String(), nil
		}
		own, err := l.ownClaim(ctx, m)
		if err != nil {
			return "", err
		}
		if what == "router" {
			return own.RouterID, nil
		}
		for _, p := range own.Prefixes {
			if p.Prefix.Contains(who.addresses[generalClass]) && p.Prefix.Bits() > 0 {
				if what == "half" {
					return netip.PrefixFrom(p.Prefix.Addr(), p.Prefix.Bits()+1).String(), nil
				}
				return p.Prefix.String(), nil
			}
		}
		return "", fmt.Errorf("%w: %s claims no prefix of the class %s", ErrState, name, generalClass)
	})
}

// ownClaim is what a running node has signed of itself.
func (l *Lab) ownClaim(ctx context.Context, m *member) (monitor.Claim, error) {
	var answer monitor.Claims
	if err := monitor.NewClient(l.program.socket(m.dir)).Get(ctx, "claims", &answer); err != nil {
		return monitor.Claim{}, fmt.Errorf("lab: claims of %s: %w", m.name, err)
	}
	for _, c := range answer.Claims {
		if c.State == "own" || c.Node == l.identity(m.name).id {
			return c, nil
		}
	}
	return monitor.Claim{}, fmt.Errorf("%w: %s has claimed nothing yet", ErrState, m.name)
}

// parseSetting reads one line of a node's configuration.
func parseSetting(rest []string) (string, error) {
	line := strings.Join(rest, " ")
	if line != wordNone && !strings.Contains(line, "=") {
		return "", fmt.Errorf("%q is no KEY = VALUE", line)
	}
	return line, nil
}

// configure gives a node one more line of configuration, for when it starts the next time.
func (l *Lab) configure(ctx context.Context, name, line string) error {
	line, err := l.tell(ctx, line)
	if err != nil {
		return err
	}
	m := l.members[name]
	next := m.settings.with(line)
	rest, err := l.commonConfig()
	if err != nil {
		return err
	}
	if err := next.check(rest); err != nil {
		return fmt.Errorf("lab: configuration of %s: %w", name, err)
	}
	m.settings = next
	return l.writeConfig(m, rest)
}

// commonConfig is the file of --config.
func (l *Lab) commonConfig() ([]byte, error) {
	if l.options.Config == "" {
		return nil, nil
	}
	text, err := os.ReadFile(l.options.Config)
	if err != nil {
		return nil, fmt.Errorf("lab: --config: %w", err)
	}
	return text, nil
}

// writeConfigs gives the nodes the lines that they have from the start.
func (l *Lab) writeConfigs() error {
	rest, err := l.commonConfig()
	if err != nil {
		return err
	}
	for name, s := range l.options.Settings {
		m := l.members[name]
		if m == nil {
			return l.check(Action{A: name})
		}
		if err := s.check(rest); err != nil {
			return fmt.Errorf("lab: configuration of %s: %w", name, err)
		}
		if m.settings = s; len(s) > 0 {
			if err := l.writeConfig(m, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// configFile is a node's configuration, beside its folder.
func (l *Lab) configFile(m *member) string { return filepath.Join(l.group.Dir(), m.name+".toml") }

func (l *Lab) writeConfig(m *member, rest []byte) error {
	if err := os.WriteFile(l.configFile(m), m.settings.file(rest), 0o600); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// parseRight reads what a node may announce: import PREFIX..., gateway, or none.
func parseRight(rest []string) (string, error) {
	switch {
	case len(rest) == 1 && (rest[0] == "gateway" || rest[0] == wordNone):
	case len(rest) > 1 && rest[0] == "import":
		for _, text := range rest[1:] {
			sample, err := expand(text, func(string, string) (string, error) { return "", nil })
			if err != nil {
				return "", err
			}
			if _, err := netip.ParsePrefix(sample); err != nil {
				return "", fmt.Errorf("%q is no prefix", text)
			}
		}
	default:
		return "", fmt.Errorf("%q is no right", strings.Join(rest, " "))
	}
	return strings.Join(rest, " "), nil
}

// right has the registry say what a node may announce beside its own prefixes.
func (l *Lab) right(ctx context.Context, name, right string) error {
	right, err := l.tell(ctx, right)
	if err != nil {
		return err
	}
	prefix := l.identity(name).prefix
	words := strings.Fields(right)
	flags := []string{"--" + words[0]}
	if words[0] == "import" {
		flags = nil
		for _, p := range words[1:] {
			flags = append(flags, "--import", p)
		}
	}
	m := l.members[registryName]
	if err := l.runToEnd(ctx, m, l.program.registryRight(m.dir, prefix, flags)); err != nil {
		return err
	}
	l.issued.params++
	return nil
}
