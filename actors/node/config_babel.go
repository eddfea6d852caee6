package node

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/system"
	"re6st/protocols/babel"
)

// maxKeyFile bounds a file with a key, in bytes.
const maxKeyFile = 4096

// The interval of Hellos on an interface, in ms: as a network's.
const (
	minBabelHello = 100
	maxBabelHello = 60_000
)

// BabelInterface is an interface of the kernel on which Babel is spoken with those who
// have one of its keys (RFC 8967), and with nobody else; in the clear where Trusted names
// it too.
type BabelInterface struct {
	Name string `toml:"name"`
	// Type is how links there are judged: wired by lost Hellos, wireless by their share
	// (ETX), tunnel by their round trip too (RFC 9616). Nil: tunnel where the interface is
	// point-to-point, else wired.
	Type *babel.LinkType `toml:"type"`
	// Rxcost is the cost of a link without loss; 0: 96, of a wireless one 256.
	Rxcost uint16 `toml:"rxcost"`
	// Hello is the interval of Hellos in ms, 0: the network's. All routes are sent four
	// times as seldom.
	Hello int `toml:"hello_interval_ms"`
	// Unicast says to each neighbor by itself all but what finds neighbors.
	Unicast bool `toml:"unicast"`
	// A round trip of up to RTTMin ms costs nothing, from RTTMax ms on MaxRTTPenalty. A
	// sample weighs RTTDecay in 256. 0, nil: as babel.DefaultRTT; any of them has the round
	// trip measured on whatever interface.
	RTTMin        int     `toml:"rtt_min_ms"`
	RTTMax        int     `toml:"rtt_max_ms"`
	RTTDecay      int     `toml:"rtt_decay"`
	MaxRTTPenalty *uint16 `toml:"max_rtt_penalty"`
	// AcceptBad hears all the others too, while the keys are brought to them.
	AcceptBad bool       `toml:"accept_bad"`
	Keys      []BabelKey `toml:"key"`
}

// BabelKey is a key as babeld and BIRD know it: Value is in hexadecimal as in babeld's
// configuration, Password is the text of BIRD's, ValueFile a file with the former. One
// of them is given. However it is printed, the secret does not show.
type BabelKey struct {
	ID        string             `toml:"id"`
	Type      babel.MACAlgorithm `toml:"type"`
	Value     string             `toml:"value"`
	Password  string             `toml:"password"`
	ValueFile string             `toml:"value_file"`
}

// Format keeps the secret out of what any verb prints.
func (k BabelKey) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "%s (%s)", k.ID, k.Type) }

// MarshalText keeps the secret out of what is encoded.
func (k BabelKey) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }

// mac is the key for the machine.
func (k BabelKey) mac() (babel.MACKey, error) {
	key := babel.MACKey{ID: k.ID, Algorithm: k.Type, Value: []byte(k.Password)}
	if k.Password == "" {
		var err error
		if key.Value, err = hex.DecodeString(k.Value); err != nil {
			return key, errors.New("its value is not hexadecimal, two digits for each byte") // what it is does not get into a log
		}
	}
	return key, key.Check()
}

// speakers are the interfaces that speak Babel, of a configuration that was checked.
func (c Config) speakers() (all []neighbor.Speaker) {
	for _, name := range c.Trusted {
		s := neighbor.Speaker{Name: name, Link: neighbor.SpeakerLink{DetectType: true}}
		for _, b := range c.BabelInterfaces {
			if b.Name == name {
				s.Link = b.link()
			}
		}
		all = append(all, s)
	}
	for _, b := range c.BabelInterfaces {
		if slices.Contains(c.Trusted, b.Name) {
			continue
		}
		s := neighbor.Speaker{Name: b.Name, AcceptBad: b.AcceptBad, Link: b.link()}
		for _, k := range b.Keys {
			if key, err := k.mac(); err == nil {
				s.Keys = append(s.Keys, key)
			}
		}
		all = append(all, s)
	}
	return all
}

// link is how Babel is spoken there.
func (b BabelInterface) link() neighbor.SpeakerLink {
	l := neighbor.SpeakerLink{
		Cost: babel.LinkCost{Rxcost: b.Rxcost}, DetectType: b.Type == nil,
		Hello: time.Duration(b.Hello) * time.Millisecond, Unicast: b.Unicast,
	}
	if b.Type != nil {
		l.Cost.Type = *b.Type
	}
	if b.RTTMin != 0 || b.RTTMax != 0 || b.RTTDecay != 0 || b.MaxRTTPenalty != nil {
		l.Cost.RTT = babel.RTT{
			Decay: cmp.Or(b.RTTDecay, babel.DefaultRTT.Decay), MaxPenalty: babel.DefaultRTT.MaxPenalty,
			Min: cmp.Or(time.Duration(b.RTTMin)*time.Millisecond, babel.DefaultRTT.Min),
			Max: cmp.Or(time.Duration(b.RTTMax)*time.Millisecond, babel.DefaultRTT.Max),
		}
		if b.MaxRTTPenalty != nil {
			l.Cost.RTT.MaxPenalty = *b.MaxRTTPenalty
		}
	}
	return l
}

// babel are those interfaces as they are now.
func (n *parts) babel() (all []monitor.BabelInterface) {
	router, _ := system.Read[neighbor.Snapshot](n.sys, routerPath)
	for _, s := range router.Speakers {
		b := monitor.BabelInterface{Name: s.Name, Up: s.Ifindex != 0, Keys: s.Keys, AcceptBad: s.AcceptBad}
		for _, r := range s.Refused {
			if b.Refused == nil {
				b.Refused = map[string]uint64{}
			}
			b.Refused[r.Reason.String()] = r.Count
		}
		for _, a := range router.Neighbors {
			if b.Up && a.Link == 0 && a.Ifindex == s.Ifindex {
				b.Neighbors = append(b.Neighbors, monitor.BabelNeighbor{
					Address: a.Addr, Cost: a.Status.Cost, RTT: float64(a.Status.RTT) / float64(time.Millisecond), Key: a.Key,
				})
			}
		}
		all = append(all, b)
	}
	return all
}

// checkBabel checks the interfaces that speak Babel, but for keys that lie in files.
func (c Config) checkBabel() error {
	seen := map[string]bool{c.Interface: true}
	for _, b := range c.BabelInterfaces {
		switch {
		case len(b.Name) < 1 || len(b.Name) > maxInterfaceName:
			return fmt.Errorf("%w: babel_interface: its name %q has 1 to %d bytes", ErrConfig, b.Name, maxInterfaceName)
		case seen[b.Name], len(b.Keys) > 0 && slices.Contains(c.Trusted, b.Name):
			return fmt.Errorf("%w: babel_interface %s: that is the node's own, or named in trusted, or there twice", ErrConfig, b.Name)
		}
		seen[b.Name] = true
		err := b.checkLink()
		if err == nil && !slices.Contains(c.Trusted, b.Name) {
			err = b.checkKeys()
		}
		if err != nil {
			return fmt.Errorf("%w: babel_interface %s: %w", ErrConfig, b.Name, err)
		}
	}
	return nil
}

// checkLink checks what is not about keys.
func (b BabelInterface) checkLink() error {
	if b.Hello != 0 && (b.Hello < minBabelHello || b.Hello > maxBabelHello) {
		return fmt.Errorf("hello_interval_ms is %d; it must be %d to %d", b.Hello, minBabelHello, maxBabelHello)
	}
	return b.link().Cost.Check()
}

func (b BabelInterface) checkKeys() error {
	if len(b.Keys) == 0 {
		return errors.New("it has no key; write key = [{ id = \"k1\", type = \"hmac-sha256\", value_file = \"babel.key\" }], " +
			"or name it in trusted too to believe whoever is there")
	}
	var keys []babel.MACKey
	for _, k := range b.Keys {
		given := 0
		for _, s := range []string{k.Value, k.Password, k.ValueFile} {
			if s != "" {
				given++
			}
		}
		if k.ID == "" || given != 1 {
			return fmt.Errorf("key %q: a key has an id, and one of value (hexadecimal), password (text) or value_file", k.ID)
		}
		key := babel.MACKey{ID: k.ID, Algorithm: k.Type, Value: []byte{0}} // one in a file
		if k.ValueFile == "" {
			var err error
			if key, err = k.mac(); err != nil {
				return fmt.Errorf("key %q: %w", k.ID, err)
			}
		}
		keys = append(keys, key)
	}
	return babel.CheckMACKeys(keys)
}

// readKeys reads the keys that lie in files; names are relative to dir.
func (c *Config) readKeys(dir string) error {
	for _, b := range c.BabelInterfaces {
		for i := range b.Keys {
			if err := b.Keys[i].read(dir); err != nil {
				return fmt.Errorf("%w: babel_interface %s, key %q: %w", ErrConfig, b.Name, b.Keys[i].ID, err)
			}
		}
	}
	return nil
}

// read reads the key's file, if it lies in one.
func (k *BabelKey) read(dir string) error {
	if k.ValueFile == "" {
		return nil
	}
	name := k.ValueFile
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %s and %d bytes; it must be a file of its owner's alone (chmod 600), of up to %d", name, info.Mode(), info.Size(), maxKeyFile)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	k.Value = string(bytes.TrimSpace(text))
	if _, err = k.mac(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
