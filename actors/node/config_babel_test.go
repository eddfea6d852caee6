package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/actors/neighbor"
	"re6st/protocols/babel"
)

const secretHex = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"

// withKey is an interface with one key.
func withKey(key string) string {
	return fmt.Sprintf("[[babel_interface]]\nname = \"eth1\"\nkey = [{ id = \"k1\", %s }]", key)
}

func TestKeysOfInterfacesAreRead(t *testing.T) {
	dir := t.TempDir()
	text := `
trusted = ["eth0"]
[[babel_interface]]
name = "eth1"
key = [
  { id = "old", type = "hmac-sha256", password = "as in BIRD" },
  { id = "new", type = "blake2s128", value_file = "babel.key" },
]
[[babel_interface]]
name = "eth2"
accept_bad = true
[[babel_interface.key]]
id = "k"
type = "hmac-sha256"
value = "00Ff"
`
	for name, content := range map[string]string{"node.toml": text, "babel.key": secretHex + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := ReadConfig(filepath.Join(dir, "node.toml"))
	if err != nil {
		t.Fatal(err)
	}
	s := c.speakers()
	if len(s) != 3 || s[0].Name != "eth0" || s[0].Keys != nil || s[1].Name != "eth1" || s[1].AcceptBad || s[2].Name != "eth2" || !s[2].AcceptBad {
		t.Fatalf("%+v", s)
	}
	for i, want := range []babel.MACKey{
		{ID: "old", Algorithm: babel.HMACSHA256, Value: []byte("as in BIRD")},
		{ID: "new", Algorithm: babel.BLAKE2s128, Value: []byte("\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2\xe7\x5e\xc2")},
		{ID: "k", Algorithm: babel.HMACSHA256, Value: []byte{0, 0xff}},
	} {
		got := append(slices.Clone(s[1].Keys), s[2].Keys...)[i]
		if got.ID != want.ID || got.Algorithm != want.Algorithm || !slices.Equal(got.Value, want.Value) {
			t.Errorf("key %d is %s with %x, want %s with %x", i, got, got.Value, want, want.Value)
		}
	}
}

func TestBadKeysAreSaidWithoutTheirValue(t *testing.T) {
	for text, want := range map[string]string{
		withKey(`type = "hmac-sha256", valeu = "00"`):                                                    `line 3: unknown key "babel_interface.valeu"`,
		withKey(`type = "md5", value = "00"`):                                                            `line 3, column`,
		withKey(`value = "00"`):                                                                          "no type; it is",
		withKey(`type = "hmac-sha256"`):                                                                  "one of value (hexadecimal), password (text) or value_file",
		withKey(`type = "hmac-sha256", value = "00", password = "x"`):                                    "one of value",
		withKey(`type = "hmac-sha256", value = "0x` + secretHex + `"`):                                   "not hexadecimal",
		withKey(`type = "blake2s128", value = "` + secretHex + `00"`):                                    `33 bytes; with blake2s128 it has 1 to 32`,
		withKey(`type = "hmac-sha256", value = "00" }, { id = "k1", type = "hmac-sha256", value = "01"`): "two of that id",
		"[[babel_interface]]\nname = \"eth1\"":                                                           "it has no key; write key = ",
		"[[babel_interface]]\nkey = []":                                                                  "its name",
		"trusted = [\"eth1\"]\n" + withKey(`type = "hmac-sha256", value = "00"`):                         "or named in trusted, or there twice",
		"[[babel_interface]]\nname = \"eth1\"\naccept_bda = true":                                        `line 3: unknown key "babel_interface.accept_bda"`,
	} {
		_, err := ParseConfig([]byte(text))
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "5ec2") {
			t.Errorf("%s:\n%v; want it to tell %q", text, err, want)
		}
	}
}

func TestBadKeyFilesAreSaidWithTheirName(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"missing":             {"", 0, "no such file"},
		"readable for others": {secretHex, 0o644, "chmod 600"},
		"no hexadecimal":      {secretHex + "\n" + secretHex, 0o600, "not hexadecimal"},
		"empty":               {"\n", 0o600, "0 bytes"},
		"too long":            {strings.Repeat(secretHex, 70), 0o600, "of up to 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "node.toml")
			if err := os.WriteFile(file, []byte(withKey(`type = "hmac-sha256", value_file = "babel.key"`)), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.mode != 0 {
				if err := os.WriteFile(filepath.Join(dir, "babel.key"), []byte(c.content), c.mode); err != nil {
					t.Fatal(err)
				}
			}
			_, err := ReadConfig(file)
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "babel.key") || strings.Contains(err.Error(), "5ec2") {
				t.Errorf("%v; want it to tell %q", err, c.want)
			}
		})
	}
}

func TestAKeyOfTheConfigurationDoesNotShow(t *testing.T) {
	c := parse(t, withKey(`type = "hmac-sha256", value = "`+secretHex+`"`))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(format, c); strings.Contains(got, "5ec2") || strings.Contains(got, "35656332") {
			t.Errorf("%s prints %s", format, got)
		}
	}
	next := parse(t, withKey(`type = "hmac-sha256", value = "00`+secretHex[2:]+`"`))
	changes := changed(c, next)
	if len(changes) != 1 || changes[0].Key != "babel_interface" || !changes[0].Applied || strings.Contains(fmt.Sprint(changes), "5ec2") {
		t.Errorf("changes %+v", changes)
	}
}

func TestHowLinksAreJudgedIsRead(t *testing.T) {
	c := parse(t, `
trusted = ["gre1", "eth1", "wlan0"]
[[babel_interface]]
name = "eth1"
rxcost = 200
max_rtt_penalty = 0
[[babel_interface]]
name = "wlan0"
type = "wireless"
hello_interval_ms = 500
unicast = true
[[babel_interface]]
name = "gre2"
type = "tunnel"
rtt_min_ms = 5
rtt_max_ms = 250
rtt_decay = 42
max_rtt_penalty = 150
key = [{ id = "k1", type = "hmac-sha256", value = "00" }]
`)
	measured := babel.DefaultRTT
	measured.MaxPenalty = 0
	want := []neighbor.Speaker{
		{Name: "gre1", Link: neighbor.SpeakerLink{DetectType: true}},
		{Name: "eth1", Link: neighbor.SpeakerLink{Cost: babel.LinkCost{Rxcost: 200, RTT: measured}, DetectType: true}},
		{Name: "wlan0", Link: neighbor.SpeakerLink{Cost: babel.LinkCost{Type: babel.Wireless}, Hello: 500 * time.Millisecond, Unicast: true}},
		{Name: "gre2", Link: neighbor.SpeakerLink{Cost: babel.LinkCost{Type: babel.Tunnel, RTT: babel.RTT{
			Decay: 42, Min: 5 * time.Millisecond, Max: 250 * time.Millisecond, MaxPenalty: 150,
		}}}},
	}
	got := c.speakers()
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		if got[i].Name != w.Name || got[i].Link != w.Link || len(got[i].Keys) != i/3 {
			t.Errorf("%+v, want %+v", got[i], w)
		}
	}
}

func TestBadWaysToJudgeLinksAreErrors(t *testing.T) {
	for text, want := range map[string]string{
		`type = "fiber"`:            `want wired, wireless or tunnel`,
		`rxcost = 65535`:            "want 1 to 65534",
		`rxcost = 65536`:            "line 4",
		`rtt_decay = 257`:           "want 1 to 256",
		`rtt_min_ms = 500`:          "want 0 < from < to",
		`rtt_max_ms = 60001`:        "want 0 < from < to <= 1m0s",
		`rtt_min_ms = -1`:           "want 0 < from < to",
		`max_rtt_penalty = 65535`:   "want at most 65534",
		`hello_interval_ms = 99`:    "it must be 100 to 60000",
		`hello_interval_ms = 60001`: "it must be 100 to 60000",
	} {
		_, err := ParseConfig([]byte("trusted = [\"eth1\"]\n[[babel_interface]]\nname = \"eth1\"\n" + text))
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want it to tell %q", text, err, want)
		}
	}
}
