package bugreport

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/monitor/monitortest"
)

const key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIKhzKwoe\n-----END PRIVATE KEY-----\n"

// report unpacks what Write made of s.
func report(t *testing.T, s Subject) (map[string]string, []Content) {
	t.Helper()
	var b bytes.Buffer
	contents, err := Write(t.Context(), &b, s)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "re6st-bugreport-20260102-030405/")] = string(text)
	}
}

func subject(t *testing.T) Subject {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"node.key": key, "static.key": key, "joining-node.key": key,
		"node.toml": "# joined by re6st://registry.example:6326/SECRETTOKEN1234567890#abcd\nport = 7326\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Subject{
		Dir: dir, Config: filepath.Join(dir, "node.toml"), Client: monitor.NewClient(monitor.SocketIn(dir)), Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Diagnosis: map[string]int{"version": 1},
	}
}

func TestAReportHasNoSecrets(t *testing.T) {
	s := subject(t)
	stop, err := monitortest.Start(s.Dir, monitortest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	files, contents := report(t, s)
	if len(files) != len(contents) {
		t.Errorf("%d files, %d of them listed", len(files), len(contents))
	}
	for name, text := range files {
		for _, secret := range []string{"SECRETTOKEN", "MC4CAQAwBQYDK2Vu"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has %q in it", name, secret)
			}
		}
	}
	for name, want := range map[string]string{
		"status.json": `"node": "00000000000000a1"`, "events.json": "up with 00000000000000b2", "folder.txt": "static.key",
		"node.toml": "port = 7326", "doctor.json": `"version": 1`, "kernel.txt": "Linux",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s has no %q:\n%s", name, want, files[name])
		}
	}
}

func TestADeadNodeHasAReport(t *testing.T) {
	files, contents := report(t, subject(t))
	if !strings.Contains(files["status.json"], "not gathered: the node is not running") || files["folder.txt"] == "" {
		t.Errorf("status %q, folder %q", files["status.json"], files["folder.txt"])
	}
	for _, c := range contents {
		if c.Name == "status.json" && !strings.Contains(c.What, "not gathered") {
			t.Errorf("%+v does not say so", c)
		}
	}
}

func TestScrub(t *testing.T) {
	for text, want := range map[string]string{
		"re6st://h:1/AbC_-9#ff":             "re6st://h:1/REMOVED#ff",
		key:                                 "PRIVATE KEY REMOVED\n",
		"-----BEGIN EC PRIVATE KEY-----\nA": "EC PRIVATE KEY REMOVED",
		`password = "x y"` + "\nport = 1":   `password = "REMOVED"` + "\nport = 1",
		`{"token":"abc","n":1}`:             `{"token":"REMOVED","n":1}`,
		`key = [{ id = "k1", value = "00ff" }, { id = "k2", password = 'x"y' }]`: `key = [{ id = "k1", value = "REMOVED" }, { id = "k2", password = "REMOVED" }]`,
		"value = \"\"\"\n00ff\"\"\"\nport = 1":                                   "value = \"REMOVED\"\nport = 1",
		"value_file = \"babel.key\"":                                             "value_file = \"babel.key\"",
		"value = \"00ff":                                                         "value = \"REMOVED\"",
		"tokens are fine":                                                        "tokens are fine",
	} {
		if got := string(scrub([]byte(text))); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
