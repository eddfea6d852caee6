package unit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"re6st/firmware/unit"
)

// maxExposure is what `systemd-analyze security` may say at most (systemd 252).
// Of the node's 0.3 are that processes of OpenVPN run as another user.
var maxExposure = map[string]float64{"re6st-node.service": 3.1, "re6st-registry.service": 1.6}

var overall = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

func TestExposureDoesNotRise(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed (Debian: systemd)")
	}
	for name, most := range maxExposure {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", write(t, name)).CombinedOutput()
		found := overall.FindSubmatch(out)
		if err != nil || found == nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		if score, _ := strconv.ParseFloat(string(found[1]), 64); score > most {
			t.Errorf("%s: exposure %.1f, at most %.1f", name, score, most)
		}
	}
}

func TestUnitsStartWhatThisBinaryHas(t *testing.T) {
	for name, want := range map[string]string{
		"re6st-node.service":     "re6st node -d /var/lib/re6st",
		"re6st-registry.service": "re6st registry serve -d /var/lib/re6st-registry",
	} {
		raw, err := unit.Files.ReadFile(name)
		if err != nil || !strings.Contains(string(raw), "\nExecStart=/usr/bin/"+want) || !strings.Contains(string(raw), "\nType=notify\n") {
			t.Errorf("%s: %v; it should run %q and be of type notify", name, err, want)
		}
	}
}

func TestTheNodesUnitLeavesTheCapabilitiesThatItTakes(t *testing.T) {
	raw, err := unit.Files.ReadFile("re6st-node.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "\nCapabilityBoundingSet=")
	line, _, _ := strings.Cut(rest, "\n")
	for capability, use := range map[string]string{
		"CAP_NET_ADMIN":        "the TUN, routes, rules, tunnels",
		"CAP_NET_RAW":          "a mark on what carries the mesh (SO_MARK)",
		"CAP_NET_BIND_SERVICE": "links by TLS at port 443",
		"CAP_SETUID":           "OpenVPN becomes nobody",
		"CAP_SETGID":           "OpenVPN becomes nobody",
		"CAP_KILL":             "OpenVPN is ended, who is nobody by then",
	} {
		if !slices.Contains(strings.Fields(line), capability) {
			t.Errorf("the unit takes %s away: %s", capability, use)
		}
	}
}

// The node's unit is in a group, which there has to be.
func TestTheNodesGroupIsMade(t *testing.T) {
	if _, err := exec.LookPath("systemd-sysusers"); err != nil {
		t.Skip("systemd-sysusers is not installed (Debian: systemd)")
	}
	service, err := unit.Files.ReadFile("re6st-node.service")
	if err != nil || !strings.Contains(string(service), "\nSupplementaryGroups=re6st\nRuntimeDirectory=re6st\n") {
		t.Errorf("%v: the node's unit has another group or no folder for its sockets", err)
	}
	groups, err := unit.Files.Open("re6st.sysusers.conf")
	if err != nil {
		t.Fatal(err)
	}
	defer groups.Close()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("systemd-sysusers", "--root="+root, "-")
	cmd.Stdin = groups
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made, err := os.ReadFile(filepath.Join(root, "etc", "group"))
	if err != nil || !strings.HasPrefix(string(made), "re6st:") {
		t.Errorf("the groups are %q, %v", made, err)
	}
}

func write(t *testing.T, name string) string {
	t.Helper()
	raw, err := unit.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
