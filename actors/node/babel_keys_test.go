package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"re6st/actors/monitor"
)

const (
	otherHex = "07e407e407e407e407e407e407e407e407e407e407e407e407e407e407e407e4"
	thirdHex = "3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d"
)

// keyedNode is a node with keys on veth0, beside a babeld that has one.
type keyedNode struct {
	*lan
	dir, socket string
	client      *monitor.Client
}

// keys has the node take a configuration with these keys, the last of them in a file.
func (k *keyedNode) keys(ids ...string) {
	k.t.Helper()
	values := map[string]string{"old": secretHex, "other": otherHex, "third": thirdHex}
	text := "port = 7326\n"
	for i, id := range ids {
		if i == 0 {
			text += "[[babel_interface]]\nname = \"veth0\"\n"
		}
		at := fmt.Sprintf("value = %q", values[id])
		if i == len(ids)-1 {
			at = "value_file = \"babel.key\""
			k.check(os.WriteFile(filepath.Join(k.dir, "babel.key"), []byte(values[id]+"\n"), 0o600))
		}
		text += fmt.Sprintf("[[babel_interface.key]]\nid = %q\ntype = \"hmac-sha256\"\n%s\n", id, at)
	}
	k.check(os.WriteFile(filepath.Join(k.dir, "node.toml"), []byte(text), 0o600))
	if k.client == nil {
		return
	}
	var answer monitor.Reloaded
	k.check(k.client.Post(k.t.Context(), "reload", nil, &answer))
	if len(answer.Changes) != 1 || answer.Changes[0].Key != "babel_interface" || !answer.Changes[0].Applied {
		k.t.Errorf("reload says %+v", answer)
	}
}

// babel is what the node tells of the interface.
func (k *keyedNode) babel() []monitor.BabelInterface {
	k.t.Helper()
	var s monitor.Status
	k.check(k.client.Get(k.t.Context(), "status", &s))
	return s.Babel
}

// eventually waits for a condition.
func (k *keyedNode) eventually(what string, done func() bool) {
	k.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Fatalf("no %s; babel %+v", what, k.babel())
		}
	}
}

// babeldKey gives babeld's key k a value.
func (k *keyedNode) babeldKey(value string) {
	k.t.Helper()
	conn, err := net.Dial("unix", k.socket)
	k.check(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "key id k type hmac-sha256 value %s\nquit\n", value)
	k.check(err)
	answer, err := io.ReadAll(conn)
	k.check(err)
	if !strings.Contains(string(answer), "ok") {
		k.t.Fatalf("babeld says %s", answer)
	}
}

// events are those of the node so far.
func (k *keyedNode) events() string {
	k.t.Helper()
	var all strings.Builder
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	k.check(monitor.Lines(ctx, k.client, "GET", "events", nil, func(e monitor.Event) error {
		return json.NewEncoder(&all).Encode(e)
	}))
	return all.String()
}

func TestKeysOfABabelInterfaceChangeLive(t *testing.T) {
	const theirs, ours = "fd99:1::/64", "2001:db8:42:1::/64"
	k := &keyedNode{lan: newLAN(t), socket: filepath.Join(t.TempDir(), "ctl")}
	k.start(k.other, "", "babeld", "-I", filepath.Join(t.TempDir(), "pid"), "-S", filepath.Join(t.TempDir(), "state"), "-c", "/dev/null",
		"-C", "local-path-readwrite "+k.socket, "-C", "key id k type hmac-sha256 value "+secretHex,
		"-C", "interface veth0 type wired hello-interval 1 update-interval 4 key k", "-C", "redistribute proto 2 ip "+theirs+" allow", "veth0")
	k.dir = k.folder(1, "")
	k.keys("old")
	k.start(k.n1, nodeEnv+"="+k.dir, os.Args[0])
	k.until(k.n1, theirs, "via "+k.linkLocal(k.other, "veth0"), "dev veth0", "proto 206")
	k.until(k.other, ours, "via "+k.linkLocal(k.n1, "veth0"), "dev veth0")
	k.client = monitor.NewClient(monitor.SocketIn(k.dir))

	provenBy := func(key string) bool {
		if !strings.Contains(k.routes(k.n1, theirs), "via") || !strings.Contains(k.routes(k.other, ours), "via") {
			t.Fatal("a route was lost")
		}
		b := k.babel()
		return len(b) == 1 && b[0].Up && len(b[0].Neighbors) == 1 && b[0].Neighbors[0].Key == key
	}
	k.eventually("neighbor with the old key", func() bool { return provenBy("old") })
	k.keys("old", "other")
	k.eventually("neighbor while the node has both keys", func() bool { return provenBy("old") })
	k.babeldKey(otherHex)
	k.eventually("neighbor with the other key", func() bool { return provenBy("other") })
	k.keys("other")
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if !provenBy("other") {
			t.Fatalf("%+v", k.babel())
		}
	}

	k.keys("third")
	k.eventually("refusal that is told", func() bool { return strings.Contains(k.events(), "on veth0: no key fits, ") })
	k.until(k.n1, theirs)
	k.until(k.other, ours)
	b := k.babel()
	for _, n := range b[0].Neighbors { // it is missed before it is forgotten
		if n.Key != "" || n.Cost != 65535 {
			t.Errorf("%+v", n)
		}
	}
	if b[0].Refused["no key fits"] == 0 {
		t.Errorf("%+v", b)
	}
	k.keys("other", "third")
	k.until(k.n1, theirs, "via "+k.linkLocal(k.other, "veth0"))
	k.keys()
	k.eventually("end of Babel there", func() bool { return len(k.babel()) == 0 })
	k.within(10*time.Second, k.n1, theirs) // in 14 it would be forgotten
	status, err := json.Marshal(k.babel())
	k.check(err)
	for _, secret := range []string{secretHex, otherHex, thirdHex} {
		if strings.Contains(k.events()+string(status), secret[:8]) {
			t.Error("a key shows")
		}
	}
}
